"""Taking a client's socket over from mitmproxy, without losing or reordering a byte.

mitmproxy accepts the connection, finds the destination (CONNECT, SO_ORIGINAL_DST, reverse) and asks `next_layer` what
to do with it. From there on its reader, lock and nested generators cost more than the whole of our own work, so the
layer that was chosen puts a plain asyncio protocol on the same transport.

Rules: until the choice is made, mitmproxy is given one piece at a time (`GatedReader`), so nothing is ever in flight
inside it when the socket changes hands: what it has seen is in the events of its NextLayer, what it has not seen is in
the stream reader's buffer. After the handover mitmproxy's handler waits in `read` until our protocol says it is over,
then cleans up as for any closed connection.
"""

import asyncio
from typing import cast

from mitmproxy.connection import Client
from mitmproxy.proxy.server import ConnectionHandler

from proxy.upstream.liveness import notice_dead_peer


class GatedReader:
    """Stands in for the stream reader of a client connection."""

    def __init__(self, inner: asyncio.StreamReader) -> None:
        self._inner = inner
        self._gate = asyncio.Event()
        self._gate.set()
        self._over: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None

    def expect_choice(self, within_s: float, transport: asyncio.WriteTransport) -> None:
        """Close the connection unless it is taken over in time: who has not said what it wants is not waited for."""
        self._timer = asyncio.get_running_loop().call_later(within_s, transport.close)

    async def read(self, limit: int) -> bytes:
        """One piece; the next call waits for `more`."""
        await self._gate.wait()
        over = self._over
        if over is not None:
            await over.wait()
            return b""
        self._gate.clear()
        return await self._inner.read(limit)

    def more(self) -> None:
        """The choice needs another piece."""
        self._gate.set()

    def take_over(self) -> bytes:
        """mitmproxy reads no more; returns what it has not seen yet. Call only while the gate is closed."""
        self._over = asyncio.Event()
        self._gate.set()
        if self._timer is not None:
            self._timer.cancel()
        # StreamReader has no public way to hand its buffer back; the attribute is as old as asyncio.
        buffer = cast(bytearray, self._inner._buffer)  # type: ignore[attr-defined]
        unseen = bytes(buffer)
        buffer.clear()
        return unseen

    @property
    def at_eof(self) -> bool:
        """The client had already closed its sending side when the socket changed hands."""
        return bool(self._inner._eof)  # type: ignore[attr-defined]

    def finish(self) -> None:
        """The connection is over: let mitmproxy's handler clean up."""
        if self._over is not None:
            self._over.set()


class Handover:
    """The right to one client's socket."""

    def __init__(self, handler: ConnectionHandler, client: Client) -> None:
        io = handler.transports[client]
        self._handler = handler
        self._reader = cast(GatedReader, io.reader)
        self.transport = cast(asyncio.Transport, cast(asyncio.StreamWriter, io.writer).transport)

    def begin(self, protocol: asyncio.Protocol, seen: bytes, dead_peer_s: float) -> bytes:
        """Put `protocol` on the socket. `seen` is what mitmproxy was given; returns everything the protocol has to
        process first. `connection_made` is not called: the protocol already has its transport."""
        self._handler.timeout_watchdog.callback = _never  # our own deadlines apply from here on
        notice_dead_peer(self.transport, dead_peer_s)
        unseen = self._reader.take_over()
        self.transport.set_protocol(protocol)
        self.transport.resume_reading()
        return seen + unseen

    def more(self) -> None:
        """The choice needs another piece."""
        self._reader.more()

    @property
    def at_eof(self) -> bool:
        """No more bytes will come from the client."""
        return self._reader.at_eof

    def finish(self) -> None:
        """To be called by the protocol's `connection_lost`."""
        self._reader.finish()


async def _never() -> None:
    """Replaces mitmproxy's inactivity timeout."""
