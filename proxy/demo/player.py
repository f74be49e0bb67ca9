"""Sends one answer on one stream, at the simulator's pace and with the faults that were chosen for it.

Rules: timers instead of tasks, so that a small answer costs one call; a piece is sent only while the connection and the
stream can take it, and the connection calls `resume` when they can again; after `cancel`, or once it has ended, a
player does nothing.
"""

import asyncio
import random
from typing import Protocol

from proxy.demo.asks import Answer
from proxy.demo.faults import Faults, Options
from proxy.exchange.headers import HeaderList

_BURST = 64  # pieces sent in one go when there is no interval: the loop's other work gets its turn in between


class Wire(Protocol):
    """What a player needs of its connection."""

    def open_answer(self, stream_id: int, status: int, headers: HeaderList, length: int | None) -> None:
        """Send the head."""
        ...

    def send_piece(self, stream_id: int, piece: bytes) -> None:
        """Send a piece of the body."""
        ...

    def end_answer(self, stream_id: int, faults: Faults) -> None:
        """The body is complete."""
        ...

    def break_answer(self, stream_id: int, faults: Faults) -> None:
        """The answer will not be completed: end it as the faults say."""
        ...

    def can_send(self, stream_id: int) -> bool:
        """True while neither the socket nor the stream's window is full."""
        ...

    def flush(self) -> None:
        """Put what was sent onto the socket."""
        ...


class Player:
    """One answer on its way."""

    def __init__(self, wire: Wire, stream_id: int, answer: Answer, faults: Faults, options: Options) -> None:
        self._wire = wire
        self._stream_id = stream_id
        self._answer = answer
        self._faults = faults
        self._options = options
        self._sent = 0
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._is_blocked = False
        self._has_ended = False
        self._random = random.Random(stream_id) if options.jitter else None  # noqa: S311  # spreads timers, guards nothing

    def start(self) -> None:
        """Begin, after the latency."""
        faults = self._faults
        latency = self._options.latency_s if faults.latency_s is None else faults.latency_s
        if latency > 0:
            self._timer = asyncio.get_running_loop().call_later(latency, self._open)
        else:
            self._open()

    def resume(self) -> None:
        """The connection can take more."""
        if self._is_blocked:
            self._is_blocked = False
            self._next()

    def cancel(self) -> None:
        """Nobody wants the rest."""
        self._has_ended = True
        if self._timer is not None:
            self._timer.cancel()

    def _open(self) -> None:
        self._timer = None
        faults, answer = self._faults, self._answer
        if faults.failure or faults.goaway:
            self._break()
            return
        length = None if answer.streamed else sum(map(len, answer.pieces))
        if faults.length_error:
            length = sum(map(len, answer.pieces)) + faults.length_error
        self._wire.open_answer(self._stream_id, answer.status, answer.headers, length)
        self._next()

    def _next(self) -> None:
        """Send what may be sent now."""
        self._timer = None
        if self._has_ended:
            return
        pieces, paced = self._answer.pieces, self._answer.streamed and self._options.interval_s > 0
        for _ in range(1 if paced else _BURST):
            if self._must_stop():
                return
            if self._sent == len(pieces):
                self._has_ended = True
                self._wire.end_answer(self._stream_id, self._faults)
                return
            if not self._wire.can_send(self._stream_id):
                self._is_blocked = True
                self._wire.flush()
                return
            self._wire.send_piece(self._stream_id, pieces[self._sent])
            self._sent += 1
        self._wire.flush()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._interval(), self._next) if paced else loop.call_soon(self._next)

    def _must_stop(self) -> bool:
        faults = self._faults
        if faults.stall_after is not None and self._sent >= faults.stall_after:
            self._wire.flush()
            return True
        if faults.cut_after is not None and self._sent >= faults.cut_after:
            self._wire.flush()
            self._break()
            return True
        return False

    def _break(self) -> None:
        self._has_ended = True
        self._wire.break_answer(self._stream_id, self._faults)

    def _interval(self) -> float:
        options = self._options
        if self._random is None:
            return options.interval_s
        return options.interval_s * self._random.uniform(1 - options.jitter, 1 + options.jitter)
