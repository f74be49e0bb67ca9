"""OpenAI's Python SDK: errors, retries, timeouts, and streams that end early."""

import asyncio

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from scenarios import TRIP, fault, raised, serve

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


def unknown_model() -> object:
    arguments = {**ask("no model"), "model": "no-such-model"}
    exc = raised(openai.NotFoundError, lambda: sync.chat.completions.create(**arguments))
    return {"kind": type(exc).__name__, "code": exc.code, "body": exc.body, "status": exc.status_code}


def unknown_path() -> object:
    exc = raised(openai.NotFoundError, lambda: sync.get("/no/such/path", cast_to=object))
    return {"message": exc.message, "body": exc.body}


def no_key() -> object:
    empty = {"authorization": openai.Omit()}
    exc = raised(openai.AuthenticationError, lambda: sync.chat.completions.create(**ask("no key"), extra_headers=empty))
    return {"message": exc.message, "code": exc.code, "status": exc.status_code}


def rate_limit() -> object:
    client = sync.with_options(max_retries=0)
    headers = fault(status=429, retry_after="7")
    call = raised(
        openai.RateLimitError, lambda: client.chat.completions.create(**ask("rate limit"), extra_headers=headers)
    )
    return {"retry_after": call.response.headers["retry-after"], "code": call.code, "message": call.message}


def server_error() -> object:
    client = sync.with_options(max_retries=0)
    call = raised(
        openai.InternalServerError,
        lambda: client.chat.completions.create(**ask("server error"), extra_headers=fault(status=503)),
    )
    return {"status": call.status_code, "message": call.message}


def error_in_a_stream() -> object:
    client = sync.with_options(max_retries=0)
    call = raised(
        openai.RateLimitError,
        lambda: client.chat.completions.create(**ask("stream error"), stream=True, extra_headers=fault(status=429)),
    )
    return {"code": call.code, "message": call.message}


def retried() -> object:
    """The provider answers the first call to this host with 429: the SDK waits as it is told, and asks again."""
    client = sync.with_options(base_url="https://eu.api.openai.com/v1", max_retries=2)
    raw = client.chat.completions.with_raw_response.create(**ask("retried"))
    return {"retries": raw.retries_taken, "answer": raw.parse().to_dict()}


def timeout() -> object:
    client = sync.with_options(max_retries=0, timeout=0.8)
    headers = fault(latency_s=4)
    exc = raised(
        openai.APITimeoutError, lambda: client.chat.completions.create(**ask("timeout"), extra_headers=headers)
    )
    return type(exc).__name__


def timeout_in_a_stream() -> object:
    client = sync.with_options(max_retries=0, timeout=0.8)
    stream = client.chat.completions.create(**ask("stall"), stream=True, extra_headers=fault(stall_after=4))
    chunks: list[object] = []

    def read() -> None:
        chunks.extend(chunk.to_dict() for chunk in stream)

    exc = raised(Exception, read)
    return {"kind": type(exc).__name__, "chunks": len(chunks)}


def broken_stream() -> object:
    stream = sync.chat.completions.create(**ask("broken"), stream=True, extra_headers=fault(cut_after=4))
    chunks: list[object] = []

    def read() -> None:
        chunks.extend(chunk.to_dict() for chunk in stream)

    exc = raised(Exception, read)
    return {"kind": type(exc).__name__, "chunks": len(chunks)}


def closed_early() -> object:
    """The application has seen enough after three chunks. The client and its other calls go on."""
    headers = fault(stall_after=6)
    stream = sync.chat.completions.create(**ask("closed early"), stream=True, extra_headers=headers)
    seen = []
    for chunk in stream:
        seen.append(chunk.to_dict())
        if len(seen) == 3:
            break
    stream.close()
    return seen


def cancelled_task() -> object:
    async def main() -> object:
        async with AsyncOpenAI() as client:
            call = client.chat.completions.create(**ask("cancelled"), extra_headers=fault(latency_s=4))
            task = asyncio.create_task(call)
            done, _ = await asyncio.wait([task], timeout=0.8)
            task.cancel()
            await asyncio.wait([task])
            after = await client.chat.completions.create(**ask("after the cancelled one"))
            return {"is_done": bool(done), "is_cancelled": task.cancelled(), "after": after.to_dict()}

    return asyncio.run(main())


if __name__ == "__main__":
    serve(globals())
