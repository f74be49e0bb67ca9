"""OpenAI's Python SDK: chats, whole and streamed, sync and async, one and many."""

import asyncio

from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from scenarios import TRIP, picture, serve

MODEL = "gpt-4o-mini"
TOOLS = [{"type": "function", "function": {"name": "plan_trip", "parameters": TRIP}}]

sync = OpenAI()


class Trip(BaseModel):
    """A structured answer."""

    city: str
    days: int


def ask(text: str) -> dict[str, object]:
    """The arguments of a deterministic chat."""
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], "temperature": 0}


def chat() -> object:
    return sync.chat.completions.create(**ask("chat")).to_dict()


def chat_sampled() -> object:
    answer = sync.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "sampled"}], n=3)
    return {"id": answer.id, "choices": [choice.finish_reason for choice in answer.choices]}


def chat_stream() -> object:
    return [chunk.to_dict() for chunk in sync.chat.completions.create(**ask("chat_stream"), stream=True)]


def chat_stream_usage() -> object:
    options = {"include_usage": True}
    stream = sync.chat.completions.create(**ask("chat_stream_usage"), stream=True, stream_options=options)
    return [chunk.to_dict() for chunk in stream]


def chat_stream_helper() -> object:
    with sync.chat.completions.stream(**ask("chat_stream_helper"), tools=TOOLS) as stream:
        events = [event.type for event in stream]
        return {"events": events, "final": stream.get_final_completion().to_dict()}


def chat_tools() -> object:
    return sync.chat.completions.create(**ask("chat_tools"), tools=TOOLS, tool_choice="required").to_dict()


def chat_tools_stream() -> object:
    stream = sync.chat.completions.create(**ask("tools_stream"), tools=TOOLS, tool_choice="required", stream=True)
    return [chunk.to_dict() for chunk in stream]


def chat_parse() -> object:
    answer = sync.chat.completions.parse(**ask("chat_parse"), response_format=Trip)
    return {"id": answer.id, "parsed": answer.choices[0].message.parsed.model_dump()}


def chat_vision() -> object:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture()}"}}
    content = [{"type": "text", "text": "What is it?"}, image]
    return sync.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": content}], temperature=0
    ).to_dict()


def chat_raw() -> object:
    raw = sync.chat.completions.with_raw_response.create(**ask("chat_raw"))
    names = ("x-request-id", "openai-organization", "openai-processing-ms", "x-ratelimit-limit-requests")
    headers = {name: raw.headers[name] for name in (*names, "content-type")}
    return {"headers": headers, "id": raw.parse().id, "retries": raw.retries_taken, "request_id": raw.request_id}


def chat_streaming_response() -> object:
    with sync.chat.completions.with_streaming_response.create(**ask("streaming_response"), stream=True) as response:
        lines = [line.partition(":")[0] for line in response.iter_lines()]
        return {"type": response.headers["content-type"], "lines": lines, "status": response.status_code}


def completions() -> object:
    return sync.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once", max_tokens=5, temperature=0).to_dict()


def chat_async() -> object:
    async def main() -> object:
        async with AsyncOpenAI() as client:
            whole = await client.chat.completions.create(**ask("chat_async"))
            stream = await client.chat.completions.create(**ask("chat_async_stream"), stream=True)
            return {"whole": whole.to_dict(), "chunks": [chunk.to_dict() async for chunk in stream]}

    return asyncio.run(main())


def chat_async_helper() -> object:
    async def main() -> object:
        async with AsyncOpenAI() as client, client.chat.completions.stream(**ask("chat_async_helper")) as stream:
            events = [event.type async for event in stream]
            return {"events": events, "final": (await stream.get_final_completion()).to_dict()}

    return asyncio.run(main())


def twenty_different() -> object:
    async def main() -> object:
        async with AsyncOpenAI() as client:
            calls = (client.chat.completions.create(**ask(f"number {n}")) for n in range(20))
            return [answer.to_dict() for answer in await asyncio.gather(*calls)]

    return asyncio.run(main())


def twenty_alike() -> object:
    async def main() -> object:
        async with AsyncOpenAI() as client:
            calls = (client.chat.completions.create(**ask("twenty alike")) for _ in range(20))
            return [answer.to_dict() for answer in await asyncio.gather(*calls)]

    return asyncio.run(main())


def twenty_streams_alike() -> object:
    async def one(client: AsyncOpenAI) -> list[object]:
        stream = await client.chat.completions.create(**ask("twenty streams"), stream=True)
        return [chunk.to_dict() async for chunk in stream]

    async def main() -> object:
        async with AsyncOpenAI() as client:
            return await asyncio.gather(*(one(client) for _ in range(20)))

    return asyncio.run(main())


def sync_and_async_ask_the_same() -> object:
    async def main() -> object:
        async with AsyncOpenAI() as client:
            return (await client.chat.completions.create(**ask("either way"))).id

    return [sync.chat.completions.create(**ask("either way")).id, asyncio.run(main())]


if __name__ == "__main__":
    serve(globals())
