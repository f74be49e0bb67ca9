"""Google's Gen AI SDK for Python: content, streams, chats, tools, embeddings, counts, models, errors."""

import asyncio

from google import genai
from google.genai import errors, types
from pydantic import BaseModel
from scenarios import TRIP, fault, picture, raised, serve

MODEL = "gemini-2.5-flash"
client = genai.Client()


class Trip(BaseModel):
    """A structured answer."""

    city: str
    days: int


def config(**more: object) -> types.GenerateContentConfig:
    """A deterministic call."""
    return types.GenerateContentConfig(temperature=0, **more)


def seen(answer: types.GenerateContentResponse) -> object:
    """An answer as JSON, without the fields of its HTTP response."""
    return answer.model_dump(mode="json", exclude_none=True, exclude={"sdk_http_response"})


def with_field(**what: object) -> types.GenerateContentConfig:
    """A call that the provider is to misbehave on."""
    return config(http_options=types.HttpOptions(headers=fault(**what)))


def content() -> object:
    return seen(client.models.generate_content(model=MODEL, contents="content", config=config()))


def content_sampled() -> object:
    answer = client.models.generate_content(model=MODEL, contents="sampled")
    return {"response_id": answer.response_id, "tokens": answer.usage_metadata.candidates_token_count}


def content_stream() -> object:
    chunks = client.models.generate_content_stream(model=MODEL, contents="stream", config=config())
    return [seen(chunk) for chunk in chunks]


def content_async() -> object:
    async def main() -> object:
        whole = await client.aio.models.generate_content(model=MODEL, contents="async", config=config())
        stream = await client.aio.models.generate_content_stream(model=MODEL, contents="async s", config=config())
        chunks = [seen(chunk) async for chunk in stream]
        return {"whole": seen(whole), "chunks": chunks}

    return asyncio.run(main())


def twenty_alike() -> object:
    async def main() -> object:
        calls = (client.aio.models.generate_content(model=MODEL, contents="twenty", config=config()) for _ in range(20))
        return [seen(answer) for answer in await asyncio.gather(*calls)]

    return asyncio.run(main())


def chat() -> object:
    talk = client.chats.create(model=MODEL, config=config())
    first = talk.send_message("chat")
    return [seen(first), [seen(chunk) for chunk in talk.send_message_stream("and then")], len(talk.get_history())]


def tools() -> object:
    declared = types.FunctionDeclaration(name="plan_trip", parameters_json_schema=TRIP)
    settings = config(tools=[types.Tool(function_declarations=[declared])])
    return seen(client.models.generate_content(model=MODEL, contents="use the tool", config=settings))


def structured() -> object:
    settings = config(response_mime_type="application/json", response_schema=Trip)
    answer = client.models.generate_content(model=MODEL, contents="structured", config=settings)
    return {"response_id": answer.response_id, "parsed": answer.parsed.model_dump()}


def vision() -> object:
    import base64  # noqa: PLC0415 - only the picture needs it

    part = types.Part.from_bytes(data=base64.b64decode(picture()), mime_type="image/png")
    return seen(client.models.generate_content(model=MODEL, contents=[part, "What is it?"], config=config()))


def embeddings() -> object:
    answer = client.models.embed_content(model="gemini-embedding-001", contents=["one", "two"])
    return [each.values for each in answer.embeddings]


def count_tokens() -> object:
    return client.models.count_tokens(model=MODEL, contents="How many tokens?").total_tokens


def models() -> object:
    every = [model.name for model in client.models.list(config={"page_size": 2})]
    return {"every": every, "one": client.models.get(model=MODEL).name}


def unknown_model() -> object:
    exc = raised(errors.ClientError, lambda: client.models.generate_content(model="no-such-model", contents="x"))
    return {"code": exc.code, "status": exc.status, "message": exc.message}


def rate_limit() -> object:
    settings = with_field(status=429, retry_after="7")
    exc = raised(
        errors.ClientError, lambda: client.models.generate_content(model=MODEL, contents="limit", config=settings)
    )
    return {"code": exc.code, "status": exc.status}


def server_error() -> object:
    settings = with_field(status=503)
    exc = raised(
        errors.ServerError,
        lambda: list(client.models.generate_content_stream(model=MODEL, contents="broken", config=settings)),
    )
    return {"code": exc.code, "status": exc.status}


def timeout() -> object:
    settings = config(http_options=types.HttpOptions(headers=fault(latency_s=4), timeout=800))
    exc = raised(Exception, lambda: client.models.generate_content(model=MODEL, contents="slow", config=settings))
    return type(exc).__name__


if __name__ == "__main__":
    serve(globals())
