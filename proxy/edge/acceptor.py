"""Accepts connections on sockets that are bound already, and may let another process have one.

The kernel spreads connections over the sockets of several processes by a hash, which with few connections is often
lopsided, and for as long as they live. So who has more than another hands a new connection on before anything was
read from it. Rule: a connection is always somebody's: what cannot be handed on is kept.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from proxy.tasks import TaskSet

log = structlog.get_logger(__name__)

type Secured = Callable[[], Handshake]
"""What the next handshake is made with."""

type Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

BACKLOG: Final = 4096  # cut to net.core.somaxconn; what comes while a process is replaced waits in the kernel
_AT_ONCE: Final = 32  # connections taken in one go, so that those that are there have their turn
_PAUSE_S: Final = 0.5  # when there are no descriptors or no memory left
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Balance(Protocol):
    """The other processes, and what they have."""

    def hand_on(self, connection: socket.socket, listener: int) -> bool:
        """Let another process have it, if one has less. False: keep it."""
        ...

    def holds(self, count: int) -> None:
        """This process has so many."""
        ...

    def keep(self) -> None:
        """All end: hand nothing on any more, since who is asked to take it may be gone."""
        ...


@dataclass(frozen=True, slots=True)
class ReadyListeners:
    """The bound sockets of each listener, and those that they share the work with."""

    sockets: Sequence[Sequence[socket.socket]]
    balance: Balance


@dataclass(frozen=True, slots=True)
class Handshake:
    """TLS of a listener. `most`: handshakes at once; for one beyond them the oldest is given up."""

    context: ssl.SSLContext
    within_s: float
    most: int


class Alone:
    """There are no others."""

    def hand_on(self, connection: socket.socket, listener: int) -> bool:
        """See Balance."""
        return False

    def holds(self, count: int) -> None:
        """See Balance."""

    def keep(self) -> None:
        """See Balance."""


class Acceptor:
    """One listener. It stands where mitmproxy keeps its asyncio servers, and so has their `sockets` and `close`."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        listener: int,
        serve: Serve,
        balance: Balance,
        arrive: Callable[[int], None],
        *,
        secured: Secured | None = None,
    ) -> None:
        """`arrive` is told 1 for each connection that is taken, and -1 when `serve` has it or it is gone. `secured`:
        there is TLS on all of them."""
        self.sockets = tuple(sockets)
        self._listener = listener
        self._serve = serve
        self._balance = balance
        self._arrive = arrive
        self._secured = secured
        self._loop = asyncio.get_running_loop()
        self._tasks = TaskSet()
        self._is_closed = False
        self._shaking: dict[socket.socket, None] = {}  # in a handshake of the listener's TLS, the oldest first
        for each in self.sockets:
            each.listen(BACKLOG)
            self._watch(each)

    def close(self) -> None:
        """Accept no more than those that wait already. Connections that are there stay."""
        if not self._is_closed:
            self._is_closed = True
            for each in self.sockets:
                self._loop.remove_reader(each)
                for _ in range(BACKLOG // _AT_ONCE):  # no more than can wait, whoever comes meanwhile
                    if not self._accept(each):
                        break
                each.close()

    def take(self, connection: socket.socket) -> None:
        """Serve this connection, which was accepted here or elsewhere."""
        self._arrive(1)
        self._tasks.spawn(self._take(connection), name="accept")

    def _watch(self, listening: socket.socket) -> None:
        if not self._is_closed:
            self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> bool:
        """Take some of those that wait. False: there are no more, or none can be taken."""
        for _ in range(_AT_ONCE):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError as failure:
                if failure.errno not in _EXHAUSTED:
                    raise
                log.error("accept_failed", reason=failure.strerror, retry_in_s=_PAUSE_S)
                if not self._is_closed:
                    self._loop.remove_reader(listening)  # it would be reported as readable without end
                    self._loop.call_later(_PAUSE_S, self._watch, listening)
                return False
            connection.setblocking(False)
            if not self._balance.hand_on(connection, self._listener):
                self.take(connection)
        return True

    async def _take(self, connection: socket.socket) -> None:
        handshake = self._secured() if self._secured is not None else None
        if handshake is not None:
            self._make_room(connection, handshake.most)
        reader = asyncio.StreamReader(loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, self._begin, loop=self._loop)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=handshake.context if handshake is not None else None,
                ssl_handshake_timeout=handshake.within_s if handshake is not None else None,
            )
        except OSError as failure:  # it is gone already, or its handshake failed
            if isinstance(failure, ssl.SSLError):
                log.debug("tls_failed", reason=failure.reason)
            connection.close()
            self._arrive(-1)
        finally:
            self._shaking.pop(connection, None)

    def _make_room(self, newest: socket.socket, most: int) -> None:
        """Whoever opens connections and says nothing must not keep others out."""
        self._shaking[newest] = None
        if len(self._shaking) > most:
            oldest = next(iter(self._shaking))
            del self._shaking[oldest]
            with contextlib.suppress(OSError):  # it has just ended by itself
                oldest.shutdown(socket.SHUT_RDWR)

    async def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._arrive(-1)
        await self._serve(reader, writer)
