"""The operators' listener. Loopback unless told otherwise.

It is a listener of its own, so that probes and scrapes keep working while clients fill the others. A plain probe of
/livez or /readyz is answered here, in one piece and for good; whoever asks for anything else is handed to aiohttp
(pages.py), which is imported, in a thread, for the first of them.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from prometheus_client.registry import CollectorRegistry

from config.schema import split_address
from proxy.admin.answers import Alone, Answers
from proxy.admin.views import Views, said
from proxy.tasks import TaskSet

if TYPE_CHECKING:
    from proxy.admin.pages import Pages

_HEAD_S = 10.0
_MAX_HEAD = 8_192  # more than that is no probe; aiohttp has limits of its own
_END = b"\r\n\r\n"
_ANSWER = (
    "HTTP/1.1 {} {}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}"
)


class AdminServer:
    """See the module."""

    def __init__(self, registry: CollectorRegistry, views: Views, answers: Answers | None = None) -> None:
        """`answers`: other than those of this process alone."""
        self._answers = answers or Alone(registry, views)
        self._stock = views.stock
        self._tasks = TaskSet()
        self._servers: list[asyncio.Server] = []
        self._pages: Pages | None = None
        self._opening = asyncio.Lock()
        self.probes: set[Probe] = set()

    async def start(self, address: str, sockets: Sequence[socket.socket] = ()) -> str:
        """Listen there, or on sockets that are bound already; returns the address that was bound. Raises OSError."""
        loop = asyncio.get_running_loop()
        for each in sockets:
            self._servers.append(await loop.create_server(lambda: Probe(self), sock=each))
        if not sockets:
            host, port = split_address(address)
            self._servers.append(await loop.create_server(lambda: Probe(self), host, port))
        bound = self._servers[0].sockets[0].getsockname()
        return f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"

    async def stop(self) -> None:
        """Close the listener and all connections."""
        for server in self._servers:
            server.close()
        for probe in list(self.probes):
            probe.close()
        await self._tasks.cancel()
        if self._pages is not None:
            await self._pages.stop()

    def tell_readiness(self, probe: "Probe") -> None:
        """Answer it; at once, if nobody else has to be asked."""
        self._tasks.spawn(self._tell_readiness(probe), name="admin")

    async def _tell_readiness(self, probe: "Probe") -> None:
        probe.answer(*said(await self._answers.readiness()))

    def hand_on(self, transport: asyncio.Transport, seen: bytearray) -> None:
        """Give a connection to aiohttp. `seen` may grow until it is taken."""
        self._tasks.spawn(self._hand_on(transport, seen), name="admin")

    async def _hand_on(self, transport: asyncio.Transport, seen: bytearray) -> None:
        async with self._opening:
            if self._pages is None:
                self._pages = await self._open()
        if not transport.is_closing():
            self._pages.take(transport, bytes(seen))
            transport.resume_reading()

    async def _open(self) -> "Pages":
        pages_class = await asyncio.to_thread(import_pages)
        pages = pages_class(self._answers, self._stock)
        await pages.start()
        return pages


class Probe(asyncio.Protocol):
    """A connection until it is known what it wants."""

    def __init__(self, server: AdminServer) -> None:
        self._server = server
        self._seen = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_handed_on = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(_HEAD_S, self.close)
        self._server.probes.add(self)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        transport = self._transport
        if self._is_handed_on or transport is None:
            return
        path = _probed(self._seen)
        if path is None and _END not in self._seen and len(self._seen) <= _MAX_HEAD:
            return
        if path == b"/livez":
            self.answer(200, "ok\n")
        elif path == b"/readyz":
            self._server.tell_readiness(self)
        else:
            self._is_handed_on = True
            self._forget()
            transport.pause_reading()
            self._server.hand_on(transport, self._seen)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()

    def close(self) -> None:
        """Not in time, or no longer."""
        if self._transport is not None:
            self._transport.close()

    def answer(self, status: int, text: str) -> None:
        """Give it, and end."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        phrase = "OK" if status == 200 else "Service Unavailable"
        transport.write(_ANSWER.format(status, phrase, len(text.encode()), text).encode())
        transport.close()

    def _forget(self) -> None:
        self._server.probes.discard(self)
        if self._timer is not None:
            self._timer.cancel()


def _probed(seen: bytearray) -> bytes | None:
    """The path of a complete request that has no body; None for all else."""
    if not seen.endswith(_END) or seen.count(_END) != 1:
        return None
    method, _, rest = bytes(seen).partition(b" ")
    path, _, rest = rest.partition(b" ")
    is_plain = method == b"GET" and rest.startswith(b"HTTP/1.1\r\n") and b"content-length" not in rest.lower()
    return path.partition(b"?")[0] if is_plain else None


def import_pages() -> "type[Pages]":
    """Import them, if they are not; what is imported before a fork is in memory once."""
    from proxy.admin.pages import Pages  # noqa: PLC0415 - see the module

    return Pages
