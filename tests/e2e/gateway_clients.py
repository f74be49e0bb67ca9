"""Many clients of several gateways behind a service, as a process: `python -m tests.e2e.gateway_clients DIRECTORY CA`.

The service is what a cluster's nodes make of one: a new connection goes to one of the backends that are known to be
ready, which is learned from /readyz with a delay; connections that are there stay where they are. In DIRECTORY,
backends.json says which there are, view.json is what the service knows, and `over` ends it all. Clients keep their
connections, obey `Connection: close` and GOAWAY, look whether a connection was closed before they use it again, and
never repeat a call. What became of their calls is printed as JSON.
"""

import asyncio
import contextlib
import itertools
import json
import random
import ssl
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvloop

from tests.support.h2_client import H2Client
from tests.support.raw_client import Answer, RawClient, chat, connect, post, secure

CLIENTS = 500
HTTP2_EVERY = 5  # one client of so many speaks HTTP/2, with two calls at a time
STREAM_EVERY = 4
PIECES = 25
RAMP_S = 3.0
THINKS_S = (0.5, 3.0)
POLL_S = 0.2
LEARNS_AFTER_S = 1.0


def expected(prompt: str, *, is_stream: bool) -> bytes:
    """The right answer, which the provider gives too."""
    return b"".join(pieces(prompt, is_stream=is_stream))


def pieces(prompt: str, *, is_stream: bool) -> list[bytes]:
    """The same in pieces."""
    if not is_stream:
        return [json.dumps({"choices": [{"message": {"role": "assistant", "content": prompt}}]}).encode()]
    events = [
        json.dumps({"choices": [{"index": 0, "delta": {"content": f"{prompt} {at}"}}]}).encode() for at in range(PIECES)
    ]
    return [b"data: %b\n\n" % event for event in (*events, b"[DONE]")]


@dataclass(slots=True)
class Tally:
    """What became of the calls."""

    calls: int = 0
    streams: int = 0
    http2: int = 0
    connections: int = 0
    by_backend: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def count(self, backend: str, *, is_stream: bool, is_http2: bool) -> None:
        """One was answered rightly."""
        self.calls += 1
        self.streams += is_stream
        self.http2 += is_http2
        self.by_backend[backend] = self.by_backend.get(backend, 0) + 1


class Service:
    """See the module."""

    def __init__(self, directory: Path, tally: Tally) -> None:
        self._directory = directory
        self._tally = tally
        self._backends: dict[str, tuple[int, int]] = {}  # name: port, and port of its admin listener
        self._seen: dict[str, bool] = {}
        self._ready: set[str] = set()
        self._turn = itertools.count()

    def pick(self) -> tuple[str, int]:
        """Where a new connection goes."""
        ready = sorted(self._ready)
        name = ready[next(self._turn) % len(ready)]
        self._tally.connections += 1
        return name, self._backends[name][0]

    async def watch(self, is_over: asyncio.Event) -> None:
        """Follow the backends."""
        loop = asyncio.get_running_loop()
        while True:
            self._backends = json.loads((self._directory / "backends.json").read_text())
            for name, (_, admin) in self._backends.items():
                is_ready = await _is_ready(admin)
                if is_ready != self._seen.get(name, False):
                    self._seen[name] = is_ready
                    loop.call_later(LEARNS_AFTER_S, self._learn, name, is_ready)
            if (self._directory / "over").exists():
                is_over.set()
            view = {"ready": sorted(self._ready), "calls": self._tally.calls, "failed": len(self._tally.failures)}
            draft = self._directory / "view.draft"
            draft.write_text(json.dumps(view))
            draft.rename(self._directory / "view.json")
            await asyncio.sleep(POLL_S)

    def _learn(self, name: str, is_ready: bool) -> None:
        (self._ready.add if is_ready else self._ready.discard)(name)

    async def known(self) -> None:
        """Wait for the first backend."""
        while not self._ready:
            await asyncio.sleep(0.05)


async def _is_ready(port: int) -> bool:
    try:
        client = await connect(port)
    except OSError:
        return False
    try:
        client.send(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
        return (await client.answer()).status == 200
    except (OSError, EOFError):
        return False
    finally:
        client.abort()


class Clients:
    """All of them."""

    def __init__(self, service: Service, ca: Path, tally: Tally) -> None:
        self._service = service
        self._trust = ssl.create_default_context(cafile=ca)
        self._trust_http2 = ssl.create_default_context(cafile=ca)
        self._trust_http2.set_alpn_protocols(["h2"])
        self._tally = tally
        self._numbers = itertools.count()
        self.is_over = asyncio.Event()

    def _call(self, random_: random.Random) -> tuple[str, bool]:
        return f"call {next(self._numbers)}", random_.randrange(STREAM_EVERY) == 0

    async def _think(self, random_: random.Random) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(random_.uniform(*THINKS_S)):
                await self.is_over.wait()

    def _check(self, prompt: str, is_stream: bool, status: int, body: bytes) -> None:
        if status != 200 or body != expected(prompt, is_stream=is_stream):
            raise AssertionError(f"{prompt}: status {status}, {len(body)} bytes: {body[-80:]!r}")

    async def http1(self, number: int) -> None:
        """One client that has one call at a time."""
        random_ = random.Random(number)
        await asyncio.sleep(random_.uniform(0, RAMP_S))
        client: RawClient | None = None
        backend = ""
        while not self.is_over.is_set():
            prompt, is_stream = self._call(random_)
            try:
                if client is None or client.is_stale:
                    if client is not None:
                        await client.close()
                    backend, port = self._service.pick()
                    client = await secure(port, self._trust)
                client.send(post(chat(prompt, stream=is_stream)))
                answer: Answer = await client.answer()
                self._check(prompt, is_stream, answer.status, answer.body)
                self._tally.count(backend, is_stream=is_stream, is_http2=False)
                if answer.header("connection") == "close":
                    await client.close()
                    client = None
            except (OSError, EOFError, TimeoutError, AssertionError) as failure:
                self._tally.failures.append(f"http1 {number} at {backend}: {type(failure).__name__}: {failure}")
                client = None
            await self._think(random_)
        if client is not None:
            await client.close()

    async def http2(self, number: int) -> None:
        """One client that has two calls at a time on one connection."""
        await asyncio.sleep(random.Random(number).uniform(0, RAMP_S))
        shared = Http2(self._service, self._trust_http2)
        await asyncio.gather(*(self._http2(shared, random.Random(2 * number + each), number) for each in range(2)))
        await shared.close()

    async def _http2(self, shared: "Http2", random_: random.Random, number: int) -> None:
        while not self.is_over.is_set():
            prompt, is_stream = self._call(random_)
            backend = ""
            try:
                backend, client = await shared.usable()
                stream = await client.post("/v1/chat/completions", chat(prompt, stream=is_stream))
                await client.finish(stream)
                if not stream.ended:
                    raise AssertionError(f"{prompt}: cut off, reset {stream.reset}, told {client.goaways}")
                self._check(prompt, is_stream, stream.status, stream.body)
                self._tally.count(backend, is_stream=is_stream, is_http2=True)
            except (OSError, EOFError, TimeoutError, AssertionError) as failure:
                self._tally.failures.append(f"http2 {number} at {backend}: {type(failure).__name__}: {failure}")
            await self._think(random_)


class Http2:
    """One client's connections: the one that is used, and those that come to their end."""

    def __init__(self, service: Service, trust: ssl.SSLContext) -> None:
        self._service = service
        self._trust = trust
        self._lock = asyncio.Lock()
        self._backend = ""
        self._current: H2Client | None = None
        self._opened = contextlib.AsyncExitStack()

    async def usable(self) -> tuple[str, H2Client]:
        """A connection on which a call may begin."""
        async with self._lock:
            if self._current is None or self._current.goaways or self._current.is_over:
                self._backend, port = self._service.pick()
                raw = await secure(port, self._trust)
                self._current = await self._opened.enter_async_context(H2Client(raw))
            return self._backend, self._current

    async def close(self) -> None:
        """Close all."""
        with contextlib.suppress(OSError):
            await self._opened.aclose()


async def main(directory: Path, ca: Path) -> Tally:
    """Run until it is over."""
    tally = Tally()
    service = Service(directory, tally)
    clients = Clients(service, ca, tally)
    watching = asyncio.ensure_future(service.watch(clients.is_over))
    await service.known()
    await asyncio.gather(
        *(clients.http1(number) if number % HTTP2_EVERY else clients.http2(number) for number in range(CLIENTS))
    )
    watching.cancel()
    return tally


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(main(Path(sys.argv[1]), Path(sys.argv[2]))))))
