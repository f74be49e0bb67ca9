"""Taking a client's socket over from mitmproxy, without losing or reordering a byte.

mitmproxy accepts the connection, finds the destination (CONNECT, SO_ORIGINAL_DST, reverse) and asks `next_layer` what
to do with it. From there on its reader, lock and nested generators cost more than the whole of our own work, so the
layer that was chosen puts a plain asyncio protocol on the same transport.

Rules: until the choice is made, mitmproxy is given one piece at a time (`GatedReader`), so nothing is ever in flight
inside it when the socket changes hands: what it has seen is in the events of its NextLayer, what it has not seen is in
the stream reader's buffer. A client that is silent can be taken while mitmproxy waits for it: `is_silent` says that it
was given nothing meanwhile. With the handover the connection is over for mitmproxy: its handler reads the end, closes a
writer that does nothing, and its tasks, layers and buffers go.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from mitmproxy.connection import Client
from mitmproxy.proxy.server import ConnectionHandler

from proxy.exchange.tenant import Tenant
from proxy.upstream.liveness import notice_dead_peer


class GatedReader:
    """Stands in for the stream reader of a client connection."""

    def __init__(self, inner: asyncio.StreamReader) -> None:
        self._inner = inner
        self._gate = asyncio.Event()
        self._gate.set()
        self._is_over = False
        self._timer: asyncio.TimerHandle | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._expected: tuple[float, asyncio.WriteTransport] | None = None
        self._was_at_eof = False
        self.is_silent = False
        self.is_straight = False  # to a listener that takes what is redirected to it: it would be led to itself
        self.tenant: Tenant | None = None  # whose client it is, once that was asked

    def expect_choice(self, within_s: float, transport: asyncio.WriteTransport) -> None:
        """Close the connection unless it is taken over in time: who has not said what it wants is not waited for."""
        self._expected = within_s, transport
        self._timer = asyncio.get_running_loop().call_later(within_s, transport.close)

    def expect_words(self, within_s: float, act: Callable[[], None]) -> None:
        """Call `act` if the client has neither said anything in time nor closed its sending side."""
        self.is_silent = True
        self._silence = asyncio.get_running_loop().call_later(within_s, act)

    def wait_on(self, dead_peer_s: float) -> None:
        """A client that is silent is not closed, unless it has vanished; once it says something, the choice is due in
        time."""
        if self.is_silent and self._timer is not None and self._expected is not None:
            self._timer.cancel()
            self._timer = None
            notice_dead_peer(self._expected[1], dead_peer_s)

    async def read(self, limit: int) -> bytes:
        """One piece; the next call waits for `more`."""
        await self._gate.wait()
        if self._is_over:
            return b""
        self._gate.clear()
        try:
            return await self._inner.read(limit)
        finally:
            self._no_silence()

    def _no_silence(self) -> None:
        self.is_silent = False
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def more(self) -> None:
        """The choice needs another piece."""
        self._gate.set()
        if self._timer is None and self._expected is not None:
            self.expect_choice(*self._expected)

    def take_over(self) -> bytes:
        """mitmproxy reads no more; returns what it has not seen yet. Call only while the gate is closed, or the client
        is silent."""
        self._is_over = True
        self._gate.set()
        self._no_silence()
        if self._timer is not None:
            self._timer.cancel()
        self._was_at_eof = bool(self._inner._eof)  # type: ignore[attr-defined] # as the buffer below
        # StreamReader has no public way to hand its buffer back; the attribute is as old as asyncio.
        buffer = cast(bytearray, self._inner._buffer)  # type: ignore[attr-defined]
        unseen = bytes(buffer)
        buffer.clear()
        self._inner.feed_eof()  # where mitmproxy waits for a client that is silent, it waits no more
        return unseen

    @property
    def at_eof(self) -> bool:
        """The client had already closed its sending side when the socket changed hands."""
        return self._was_at_eof


class Detached:
    """Stands in for the stream writer of a client connection whose socket is no longer mitmproxy's."""

    def close(self) -> None:
        """Nothing: the socket is in other hands."""

    def is_closing(self) -> bool:
        """Nothing is sent from here."""
        return True

    async def drain(self) -> None:
        """Nothing to wait for."""


class Handover:
    """The right to one client's socket. `begun` and `over` are told when it is used, and when the socket is gone."""

    __slots__ = ("_begun", "_handler", "_over", "_reader", "_writer", "at_eof", "client_id", "proof",
                 "transport")  # fmt: skip

    def __init__(
        self,
        handler: ConnectionHandler,
        client: Client,
        *,
        begun: Callable[["Handover"], None],
        over: Callable[["Handover"], None],
    ) -> None:
        io = handler.transports[client]
        self.client_id = client.id
        self.proof = ""  # what the token is known by that a tunnel was opened with
        self.at_eof = False  # once begun: the client has closed its sending side already
        self._handler: ConnectionHandler | None = handler
        self._begun = begun
        self._over = over
        self._reader: GatedReader | None = cast(GatedReader, io.reader)
        self._writer = cast(asyncio.StreamWriter, io.writer)  # closes the socket when it is collected
        self.transport = cast(asyncio.Transport, self._writer.transport)

    def begin(self, protocol: asyncio.Protocol, seen: bytes, dead_peer_s: float) -> bytes:
        """Put `protocol` on the socket. `seen` is what mitmproxy was given; returns everything the protocol has to
        process first. `connection_made` is not called: the protocol already has its transport."""
        assert self._reader is not None, "a handover begins once"
        assert self._handler is not None
        notice_dead_peer(self.transport, dead_peer_s)
        unseen = self._reader.take_over()
        self.at_eof = self._reader.at_eof
        io = self._handler.transports[self._handler.client]
        io.writer = Detached()  # type: ignore[assignment]
        self._handler = self._reader = None
        # The writer has to stay, or it would close the socket; what it holds (a buffer, a finished task) need not.
        # StreamWriter has no public way to let go of it; the attributes are as old as asyncio.
        self._writer._reader = self._writer._protocol = None  # type: ignore[attr-defined]
        self._begun(self)
        self.transport.set_protocol(protocol)
        self.transport.resume_reading()
        return seen + unseen

    def more(self) -> None:
        """The choice needs another piece."""
        assert self._reader is not None
        self._reader.more()

    def finish(self) -> None:
        """To be called by the protocol's `connection_lost`."""
        self._over(self)
