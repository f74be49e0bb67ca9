"""Exchanges, bodies and chains for tests of what stands between the edge and the pool.

Bodies are scripted: `Pieces` gives what it was made with, `Fed` what a test feeds it, when the test says so. Nothing
here waits for time to pass: `turns` lets the loop run what is ready.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from config.schema import Settings
from proxy.exchange.chain import Handler
from proxy.exchange.errors import UpstreamError
from proxy.exchange.headers import HeaderList
from proxy.exchange.model import Body, Ending, Exchange, Request, Response
from proxy.providers.registry import Registry

JSON: HeaderList = [(b"content-type", b"application/json")]
SSE: HeaderList = [(b"content-type", b"text/event-stream")]
CHAT = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"temperature":0}'
CHAT_STREAM = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"temperature":0,"stream":true}'
CHAT_ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}'
)
REGISTRY = Registry.from_settings(Settings())


def settings(**sections: object) -> Settings:
    """Settings with these sections, and a data directory that nobody writes to."""
    return Settings.model_validate({"data_dir": Path("/nonexistent"), **sections})


def request(
    body: bytes | Body = CHAT,
    *,
    method: str = "POST",
    target: str = "/v1/chat/completions",
    host: str = "api.openai.com",
    headers: Iterable[tuple[bytes, bytes]] = (),
    key: bytes = b"sk-one",
) -> Request:
    """A request as the edge makes it; JSON with a bearer token unless said otherwise."""
    fields: HeaderList = [*JSON, *headers]
    if key:
        fields.append((b"authorization", b"Bearer " + key))
    return Request(method, "https", host, 443, target, fields, body)


def exchange(asked: Request | None = None, **more: object) -> Exchange:
    """An exchange that has just begun. `more` sets its attributes."""
    made = Exchange(
        id="0" * 26,
        request=asked or request(),
        settings=Settings(),
        client="127.0.0.1",
        received_at=100.0,
        wall_time=1_000_000.0,
    )
    for name, value in more.items():
        setattr(made, name, value)
    return made


class Pieces(Body):
    """A body that was scripted: its pieces, then its end, or the failure that is its last item."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._left = deque(pieces)
        self.closed = 0

    async def read(self) -> bytes | None:
        if not self._left:
            return None
        piece = self._left.popleft()
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def aclose(self) -> None:
        self.closed += 1


class Fed(Body):
    """A body that a test feeds while others wait for it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.closed = 0

    def feed(self, *pieces: bytes) -> None:
        """These come now."""
        for piece in pieces:
            self._queue.put_nowait(piece)

    def end(self) -> None:
        """The proper end."""
        self._queue.put_nowait(None)

    def fail(self, failure: Exception | None = None) -> None:
        """Broken off."""
        self._queue.put_nowait(failure or UpstreamError("http_response_incomplete", "broken off"))

    async def read(self) -> bytes | None:
        item = await self._queue.get()
        if isinstance(item, Exception):
            raise item
        return item

    async def aclose(self) -> None:
        self.closed += 1


class Watching:
    """A tap that remembers."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.endings: list[Ending] = []

    def feed(self, chunk: bytes) -> None:
        self.seen.append(chunk)

    def end(self, ending: Ending) -> None:
        self.endings.append(ending)


class Origin:
    """The end of a chain: gives the scripted answers in turn, the last one for ever, and remembers what it was sent."""

    def __init__(self, *answers: Response | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[Request] = []

    async def __call__(self, called: Exchange) -> Response:
        self.asked.append(called.request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Response(answer.status, list(answer.headers), answer.body, answer.content_length)


def answer(body: bytes | Body = CHAT_ANSWER, status: int = 200, headers: HeaderList = JSON) -> Response:
    """A response as the pool gives it."""
    return Response(status, list(headers), body)


async def read_all(body: bytes | Body) -> bytes:
    """All of a body."""
    if isinstance(body, bytes):
        return body
    pieces = []
    while (piece := await body.read()) is not None:
        pieces.append(piece)
    return b"".join(pieces)


async def turns(count: int = 10) -> None:
    """Let the loop run what is ready."""
    for _ in range(count):
        await asyncio.sleep(0)


def calling(*stages: object, end: Handler) -> Handler:
    """These stages in front of `end`, without guards: what they raise is seen."""
    handler = end
    for stage in reversed(stages):
        handler = _bound(stage, handler)
    return handler


def _bound(stage: object, following: Handler) -> Handler:
    async def handle(called: Exchange) -> Response:
        return await stage.handle(called, following)  # type: ignore[attr-defined, no-any-return]

    return handle
