"""One connection to a Redis server: commands go out together at the end of a turn of the loop, answers come in order.

Rules: each command has its place in the queue of waiters, and keeps it when nobody waits any more: a cancelled call's
answer is read and thrown away, so that no answer is ever taken for another's. A connection that is closed answers
everything that is still waiting with `LOST`. Answers that are errors are values here; whoever asked judges them.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from hiredis import ProtocolError, Reader, pack_command

from proxy.fleet.errors import RedisUnavailableError

_MAX_WAITING: Final = 8192  # calls on one connection
_MAX_QUEUED_BYTES: Final = 33_554_432  # that the server has not taken yet


class ErrorReply(Exception):
    """Redis's answer when it says no. `code` is its first word; the rest may show values, and is for redirects only."""

    def __init__(self, text: str) -> None:
        code, _, rest = text.partition(" ")
        super().__init__(code)
        self.code = code
        self.rest = rest


type Argument = bytes | str | int
type Reply = bytes | int | list[Reply] | ErrorReply | None

LOST: Final = ErrorReply("connection_lost")


def packed(*command: Argument) -> bytes:
    """A command as it is sent."""
    return pack_command(command)  # type: ignore[arg-type,no-any-return]  # its stub says a tuple of one


class Connection(asyncio.Protocol):
    """Made by the loop around a socket. `on_lost`: told once, with the reason, unless it was closed by us."""

    def __init__(self, max_answer_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(protocolError=ProtocolError, replyError=ErrorReply, notEnoughData=self)
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self._outgoing: list[bytes] = []
        self._outgoing_bytes = 0
        self._transport: asyncio.Transport | None = None
        self._max_answer_bytes = max_answer_bytes
        self._unread_bytes = 0
        self._on_message: Callable[[Reply], None] | None = None
        self.on_lost: Callable[[str], None] | None = None
        self.received_bytes = 0
        self.is_closed = False

    # -- calls

    def ask(self, command: bytes) -> asyncio.Future[Reply]:
        """The answer to a packed command, once it comes. Raises RedisUnavailableError when it cannot be sent."""
        if self.is_closed:
            raise RedisUnavailableError("connection_lost")
        if len(self._waiting) >= _MAX_WAITING or self._outgoing_bytes > _MAX_QUEUED_BYTES:
            raise RedisUnavailableError("busy")
        waiter: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting.append(waiter)
        self.send(command)
        return waiter

    def send(self, command: bytes) -> None:
        """Only send it: what comes is for `listen`."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(command)
        self._outgoing_bytes += len(command)

    def listen(self, on_message: Callable[[Reply], None]) -> None:
        """From now on whatever comes goes there, and `ask` is of no use."""
        self._on_message = on_message

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        transport = self._transport
        if transport is None or self.is_closed:
            return
        transport.write(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing))
        self._outgoing_bytes = transport.get_write_buffer_size()

    # -- the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        self.received_bytes += len(data)
        self._unread_bytes += len(data)
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not self:
                self._unread_bytes = 0
                self._answer(reply)
        except ProtocolError:
            self._lose("protocol_error")
            return
        if self._unread_bytes > self._max_answer_bytes:
            self._lose("answer_too_large")

    def _answer(self, reply: Reply) -> None:
        if self._on_message is not None:
            self._on_message(reply)
            return
        if not self._waiting:
            raise ProtocolError("an answer that nobody asked for")
        waiter = self._waiting.popleft()
        if not waiter.done():
            waiter.set_result(reply)

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._outgoing_bytes = self._transport.get_write_buffer_size()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose("connection_lost")

    def _lose(self, reason: str) -> None:
        if not self.is_closed:
            self.close()
            if self.on_lost is not None:
                self.on_lost(reason)

    def close(self) -> None:
        """End it, now."""
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(LOST)
        self._waiting.clear()
        self._outgoing.clear()
