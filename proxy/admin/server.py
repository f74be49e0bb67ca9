"""The operators' listener. Loopback unless told otherwise.

It is a listener of its own, so that probes and scrapes keep working while clients fill the others. A plain probe of
/livez or /readyz is answered here, in one piece and for good; whoever asks for anything else is handed to aiohttp
(pages.py), which is imported, in a thread, for the first of them.
"""

import asyncio
from typing import TYPE_CHECKING, cast

from prometheus_client.registry import CollectorRegistry

from config.schema import split_address
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

    def __init__(self, registry: CollectorRegistry, views: Views) -> None:
        self._registry = registry
        self.views = views
        self._tasks = TaskSet()
        self._server: asyncio.Server | None = None
        self._pages: Pages | None = None
        self._opening = asyncio.Lock()
        self.probes: set[Probe] = set()

    async def start(self, address: str) -> str:
        """Listen; returns the address that was bound. Raises OSError."""
        host, port = split_address(address)
        self._server = await asyncio.get_running_loop().create_server(lambda: Probe(self), host, port)
        bound = self._server.sockets[0].getsockname()
        return f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"

    async def stop(self) -> None:
        """Close the listener and all connections."""
        if self._server is not None:
            self._server.close()
        for probe in list(self.probes):
            probe.close()
        await self._tasks.cancel()
        if self._pages is not None:
            await self._pages.stop()

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
        pages_class = await asyncio.to_thread(_import_pages)
        pages = pages_class(self._registry, self.views)
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
            self._answer(transport, 200, "ok\n")
        elif path == b"/readyz":
            self._answer(transport, *said(self._server.views.readiness()))
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

    def _answer(self, transport: asyncio.Transport, status: int, text: str) -> None:
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


def _import_pages() -> "type[Pages]":
    from proxy.admin.pages import Pages  # noqa: PLC0415 - see the module

    return Pages
