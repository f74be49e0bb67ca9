"""Anthropic's Python SDK: messages, tools, counts, models, errors, streams that end early."""

import asyncio

import anthropic
from anthropic import Anthropic, AsyncAnthropic
from scenarios import TRIP, fault, picture, raised, serve

sync = Anthropic()
TOOLS = [{"name": "plan_trip", "description": "Plans a trip", "input_schema": TRIP}]


def ask(text: str) -> dict[str, object]:
    """The arguments of a deterministic call."""
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": text}],
        "extra_body": {"temperature": 0},
    }


def message() -> object:
    return sync.messages.create(**ask("message")).to_dict()


def message_sampled() -> object:
    answer = sync.messages.create(
        model="claude-sonnet-4-5", max_tokens=100, messages=[{"role": "user", "content": "sampled"}]
    )
    return {"id": answer.id, "stop_reason": answer.stop_reason, "output_tokens": answer.usage.output_tokens}


def message_stream() -> object:
    return [event.to_dict() for event in sync.messages.create(**ask("message_stream"), stream=True)]


def message_stream_helper() -> object:
    with sync.messages.stream(**ask("helper")) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_message()
    with sync.messages.stream(**ask("helper text")) as stream:
        text = "".join(stream.text_stream)
    return {"events": events, "final": final.to_dict(), "text": text}


def message_async() -> object:
    async def main() -> object:
        async with AsyncAnthropic() as client:
            whole = await client.messages.create(**ask("async"))
            async with client.messages.stream(**ask("async stream")) as stream:
                pieces = [piece async for piece in stream.text_stream]
                final = await stream.get_final_message()
        return {"whole": whole.to_dict(), "pieces": pieces, "final": final.to_dict()}

    return asyncio.run(main())


def twenty_alike() -> object:
    async def main() -> object:
        async with AsyncAnthropic() as client:
            answers = await asyncio.gather(*(client.messages.create(**ask("twenty")) for _ in range(20)))
            return [answer.to_dict() for answer in answers]

    return asyncio.run(main())


def tools() -> object:
    return sync.messages.create(**ask("tools"), tools=TOOLS, tool_choice={"type": "any"}).to_dict()


def tools_stream() -> object:
    with sync.messages.stream(**ask("tools stream"), tools=TOOLS, tool_choice={"type": "any"}) as stream:
        events = [event.type for event in stream]
        return {"events": events, "final": stream.get_final_message().to_dict()}


def tool_results() -> object:
    arguments = ask("tool results")
    call = {"type": "tool_use", "id": "toolu_1", "name": "plan_trip", "input": {"city": "Wien", "days": 2}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "booked"}]}
    turns = [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    arguments["messages"] = [*arguments["messages"], *turns]
    return sync.messages.create(**arguments, tools=TOOLS).to_dict()


def vision() -> object:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": picture()}}
    content = [image, {"type": "text", "text": "What is it?"}]
    return sync.messages.create(
        model="claude-sonnet-4-5",
        max_tokens=100,
        messages=[{"role": "user", "content": content}],
        extra_body={"temperature": 0},
    ).to_dict()


def beta() -> object:
    answer = sync.beta.messages.create(**ask("beta"), betas=["context-1m-2025-08-07"])
    other = sync.beta.messages.create(**ask("beta"), betas=["another-beta-2025-01-01"])
    return {"id": answer.id, "is_same": answer.id == other.id, "content": answer.content[0].to_dict()}


def raw_response() -> object:
    raw = sync.messages.with_raw_response.create(**ask("raw"))
    names = ("request-id", "anthropic-organization-id", "anthropic-ratelimit-requests-limit", "content-type")
    return {"headers": {name: raw.headers[name] for name in names}, "id": raw.parse().id, "retries": raw.retries_taken}


def count_tokens() -> object:
    messages = [{"role": "user", "content": "How many tokens?"}]
    return sync.messages.count_tokens(model="claude-sonnet-4-5", messages=messages).to_dict()


def models() -> object:
    first = sync.models.list(limit=2)
    every = [model.id for model in sync.models.list(limit=1)]
    return {
        "first": [model.id for model in first.data],
        "every": every,
        "one": sync.models.retrieve(every[0]).to_dict(mode="json"),
    }


def unknown_model() -> object:
    arguments = {**ask("no model"), "model": "no-such-model"}
    exc = raised(anthropic.NotFoundError, lambda: sync.messages.create(**arguments))
    return {"type": exc.body["error"]["type"], "status": exc.status_code, "request_id": exc.request_id}


def bad_request() -> object:
    arguments = {**ask("none"), "messages": []}
    exc = raised(anthropic.BadRequestError, lambda: sync.messages.create(**arguments))
    return {"body": exc.body["error"], "status": exc.status_code}


def wrong_key() -> object:
    client = Anthropic(api_key="wrong", max_retries=0)
    headers = fault(status=401)
    exc = raised(anthropic.AuthenticationError, lambda: client.messages.create(**ask("key"), extra_headers=headers))
    return exc.body["error"]["type"]


def rate_limit() -> object:
    client = sync.with_options(max_retries=0)
    headers = fault(status=429, retry_after="7")
    exc = raised(anthropic.RateLimitError, lambda: client.messages.create(**ask("limit"), extra_headers=headers))
    return {"retry_after": exc.response.headers["retry-after"], "type": exc.body["error"]["type"]}


def overloaded() -> object:
    client = sync.with_options(max_retries=0)
    exc = raised(
        anthropic.InternalServerError,
        lambda: client.messages.create(**ask("overloaded"), stream=True, extra_headers=fault(status=529)),
    )
    return {"kind": type(exc).__name__, "status": exc.status_code, "type": exc.body["error"]["type"]}


def retried() -> object:
    """The provider answers the first calls for this model with 429: the SDK waits as it is told, and asks again."""
    raw = sync.models.with_raw_response.retrieve("claude-retried")
    return {"retries": raw.retries_taken, "id": raw.parse().id}


def timeout() -> object:
    client = sync.with_options(max_retries=0, timeout=0.8)
    headers = fault(latency_s=4)
    exc = raised(anthropic.APITimeoutError, lambda: client.messages.create(**ask("timeout"), extra_headers=headers))
    return type(exc).__name__


def broken_stream() -> object:
    events: list[str] = []

    def read() -> None:
        with sync.messages.stream(**ask("broken"), extra_headers=fault(cut_after=5)) as stream:
            events.extend(event.type for event in stream)

    exc = raised(Exception, read)
    return {"kind": type(exc).__name__, "events": events}


def closed_early() -> object:
    """The application has seen enough after three pieces of text."""
    with sync.messages.stream(**ask("closed early"), extra_headers=fault(stall_after=8)) as stream:
        pieces = []
        for piece in stream.text_stream:
            pieces.append(piece)
            if len(pieces) == 3:
                break
    return pieces


if __name__ == "__main__":
    serve(globals())
