"""The sockets of all workers, bound by the supervisor, which keeps them open.

Rules: each worker has sockets of its own for each listener (SO_REUSEPORT), so that none is woken for another's
connections; because the supervisor holds them too, connections that wait in a dead worker's queue are taken by its
replacement. SO_REUSEPORT would let a second proxy of the same user join in silence, so each address is first bound
without it. The admin listener is one socket for all: whichever worker is free answers.
"""

import contextlib
import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from config.schema import Settings, split_address
from proxy.edge.acceptor import BACKLOG
from proxy.edge.master import ListenError
from proxy.workers.board import Board
from proxy.workers.handing import Handing, Inboxes

_FREE_PORT_TRIES: Final = 10

type Family = tuple[int, tuple[str, int]]
"""An address family, and the address in it."""


@dataclass(frozen=True, slots=True)
class WorkerSockets:
    """What one worker accepts from: for each listener its sockets, one for each address family; the admin's; and what
    other workers hand on."""

    listeners: Sequence[Sequence[socket.socket]]
    admin: Sequence[socket.socket]
    handing: Handing


class Listening:
    """All of them."""

    def __init__(self, listeners: list[list[list[socket.socket]]], admin: list[socket.socket], count: int) -> None:
        self._listeners = listeners  # by listener, then by worker
        self._admin = admin
        self._inboxes = Inboxes(count)

    @classmethod
    def bind(cls, settings: Settings, count: int) -> "Listening":
        """Bind and listen for `count` workers. Raises ListenError; then nothing stays open."""
        with contextlib.ExitStack() as opened:
            listeners = [_bound(listener.address, listener.mode, count, opened) for listener in settings.listeners]
            (admin,) = _bound(settings.admin.address, "admin", 1, opened)
            opened.pop_all()
            return cls(listeners, admin, count)

    def of(self, index: int, board: Board) -> WorkerSockets:
        """What the worker in this place accepts from."""
        listeners = [workers[index] for workers in self._listeners]
        return WorkerSockets(listeners, self._admin, Handing(board, index, self._inboxes))

    def addresses(self) -> list[str]:
        """The address of each listener, with its real port."""
        return [_shown(workers[0][0]) for workers in self._listeners]

    @property
    def admin_address(self) -> str:
        """The admin listener's."""
        return _shown(self._admin[0])

    def close_others(self, index: int) -> None:
        """In a worker: let go of what belongs to the other places."""
        for workers in self._listeners:
            for place, sockets in enumerate(workers):
                if place != index:
                    _close(sockets)

    def close(self) -> None:
        """Let go of all. What workers still hold goes on."""
        for workers in self._listeners:
            for sockets in workers:
                _close(sockets)
        _close(self._admin)
        self._inboxes.close()


def _bound(address: str, purpose: str, count: int, opened: contextlib.ExitStack) -> list[list[socket.socket]]:
    """The sockets of `count` workers on one address."""
    try:
        host, port = split_address(address)
        places = _places(host, port)
        for attempt in range(_FREE_PORT_TRIES):
            try:
                return _on_one_port(places, count, opened)
            except OSError as failure:
                # A port that is free in one family may be taken in another.
                is_last = attempt == _FREE_PORT_TRIES - 1
                if port or len(places) == 1 or failure.errno != errno.EADDRINUSE or is_last:
                    raise
    except OSError as failure:
        raise ListenError(address, purpose, failure) from failure
    raise AssertionError("the last attempt returns or raises")


def _places(host: str, port: int) -> list[Family]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, (str(where[0]), int(where[1]))) for family, _, _, _, where in found))


def _on_one_port(places: Sequence[Family], count: int, opened: contextlib.ExitStack) -> list[list[socket.socket]]:
    workers: list[list[socket.socket]] = [[] for _ in range(count)]
    port = 0
    with contextlib.ExitStack() as mine:
        for family, (host, asked) in places:
            port = asked or port
            try:
                if port:
                    _socket(family, host, port, is_shared=False).close()
                for sockets in workers:
                    bound = mine.enter_context(_socket(family, host, port, is_shared=count > 1))
                    port = bound.getsockname()[1]
                    bound.listen(BACKLOG)
                    sockets.append(bound)
            except OSError as failure:
                if failure.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) or len(places) == 1:
                    raise  # else: a name stands for addresses of which this machine need not have all
        if not workers[0]:
            raise OSError(errno.EADDRNOTAVAIL, "no address of this machine")
        opened.push(mine.pop_all())
    return workers


def _socket(family: int, host: str, port: int, *, is_shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


def _close(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        each.close()


def _shown(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
