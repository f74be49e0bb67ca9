"""Connections that one worker hands on to another, over socket pairs that the supervisor made and keeps.

Rules: how many connections each worker has, and how many are on their way to it, stands on the board. A new
connection goes to the worker with the fewest; the difference must be worth it, so many short connections are left to
the kernel's spreading. What is on its way to a worker that dies is taken by its replacement.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Final

from proxy.workers.board import Board

_MESSAGE: Final = struct.Struct("!HH")  # who sent it, and by which listener it came
_TOLERATED: Final = 8  # a difference of one in so many is left as it is
_AT_ONCE: Final = 32

type Take = Callable[[socket.socket, int], None]


class Inboxes:
    """A pair for each worker, made by the supervisor: all write into one end, that worker reads the other."""

    def __init__(self, count: int) -> None:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(count)]
        self.out = [pair[0] for pair in pairs]
        self.into = [pair[1] for pair in pairs]
        for end in (*self.out, *self.into):
            end.setblocking(False)

    def close(self) -> None:
        """Let go of all."""
        for end in (*self.out, *self.into):
            end.close()


class Handing:
    """One worker's part in it."""

    def __init__(self, board: Board, index: int, inboxes: Inboxes) -> None:
        self._board = board
        self._index = index
        self._out: Sequence[socket.socket] = inboxes.out
        self._into = inboxes.into[index]
        self._keeps_all = False

    def start(self, take: Take) -> None:
        """Take what others hand on."""
        asyncio.get_running_loop().add_reader(self._into, self._receive, take)

    def stop(self) -> None:
        """Take no more."""
        asyncio.get_running_loop().remove_reader(self._into)

    def keep(self) -> None:
        """Hand nothing on any more."""
        self._keeps_all = True

    def holds(self, count: int) -> None:
        """This worker has so many connections."""
        self._board.set_connections(self._index, count)

    def hand_on(self, connection: socket.socket, listener: int) -> bool:
        """Let the worker with the fewest have it, unless that is this one, or nearly so."""
        if self._keeps_all:
            return False
        to = fewest(self._index, [self._load(index) for index in range(self._board.count)])
        if to == self._index:
            return False
        message = _MESSAGE.pack(self._index, listener)
        try:
            socket.send_fds(self._out[to], [message], [connection.fileno()])
        except OSError:  # it is full: that worker has been busy for long
            return False
        self._board.sent(self._index, to)
        connection.close()
        return True

    def _load(self, index: int) -> float:
        """Its connections, with those on their way to it; endless for one that takes none."""
        if not self._board.is_ready(index):
            return float("inf")
        return self._board.connections(index) + self._board.under_way(index)

    def _receive(self, take: Take) -> None:
        for _ in range(_AT_ONCE):
            try:
                message, descriptors, _, _ = socket.recv_fds(self._into, _MESSAGE.size, 1)
            except OSError:
                return
            if len(descriptors) == 1 and len(message) == _MESSAGE.size:
                sender, listener = _MESSAGE.unpack(message)
                self._board.taken(sender, self._index)
                connection = socket.socket(fileno=descriptors[0])
                connection.setblocking(False)
                take(connection, listener)


def fewest(own: int, loads: Sequence[float]) -> int:
    """Where a new connection goes: to the lowest load, or to `own` when that is hardly higher."""
    lowest = min(range(len(loads)), key=loads.__getitem__)
    is_worth_it = loads[own] > loads[lowest] + loads[lowest] // _TOLERATED
    return lowest if is_worth_it else own
