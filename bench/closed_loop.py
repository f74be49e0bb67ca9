"""Closed-loop load: N connections, each asks again as soon as it has its answer.

Rules: every answer is compared with the expected one. Work on the load side is kept far below every
contestant's: prepared requests, one read and one write a call, no objects made but the bytes.
"""

import gc
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from bench.answers import WholeReader
from bench.expected import Expected
from bench.failures import BenchFailed
from bench.figures import percentile
from bench.processes import cpu_seconds
from bench.target import Target, close_all, connect, receive, send
from bench.work import Requests

_SILENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One round."""

    calls: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_us: float  # of the contestant, a call; 0 when it is no process
    load_busy: float  # CPU share of the load generator
    core: float = 0.0  # share of one core that the contestant took

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds


class Loop:
    """Connections to one contestant, kept over all rounds."""

    def __init__(self, target: Target, connections: int, requests: Requests, numbers: Iterator[int]) -> None:
        """`numbers`: the number of each call; a repeated one makes identical calls, the last one ends the round."""
        self._target = target
        self._requests = requests
        self._numbers = numbers
        self._sockets: dict[int, socket.socket] = {}
        self._epoll = select.epoll()
        context = target.context()
        try:
            for _ in range(connections):
                wrapped = connect(target, context)
                self._sockets[wrapped.fileno()] = wrapped
                self._epoll.register(wrapped.fileno(), select.EPOLLIN)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._epoll.close()
        close_all(list(self._sockets.values()))
        self._sockets.clear()

    def run(self, seconds: float) -> Measured:
        """One round. Raises BenchFailed on any wrong answer."""
        pid = self._target.pid
        gc.collect()
        gc.disable()
        try:
            cpu_before = cpu_seconds(pid) if pid else 0.0
            own_before = time.process_time()
            started = time.perf_counter()
            latencies = self._drive(int(seconds * 1e9))
            took = time.perf_counter() - started
            own = time.process_time() - own_before
            cpu = cpu_seconds(pid) - cpu_before if pid else 0.0
        finally:
            gc.enable()
        latencies.sort()
        return Measured(
            calls=len(latencies),
            seconds=took,
            p50_ms=percentile(latencies, 0.5) / 1e6,
            p99_ms=percentile(latencies, 0.99) / 1e6,
            cpu_us=cpu / len(latencies) * 1e6,
            load_busy=own / took,
            core=cpu / took,
        )

    def _drive(self, duration_ns: int) -> list[int]:
        clock, poll, sockets = time.perf_counter_ns, self._epoll.poll, self._sockets
        make, numbers = self._requests.make, self._numbers
        readers = {number: WholeReader() for number in sockets}
        is_right = Expected(self._requests.answer_bytes, is_faithful=self._target.is_faithful).is_right
        asked: dict[int, int] = {}
        sent_at: dict[int, int] = {}
        latencies: list[int] = []
        stop_at = clock() + duration_ns
        waiting = 0
        for descriptor, wrapped in sockets.items():
            if (number := next(numbers, None)) is None:
                break
            waiting += 1
            asked[descriptor] = number
            sent_at[descriptor] = clock()
            send(wrapped, make(number))
        while waiting:
            ready = poll(_SILENCE_S)
            if not ready:
                raise BenchFailed("no answer any more")
            for descriptor, _ in ready:
                wrapped = sockets[descriptor]
                if (data := receive(wrapped)) is None or (body := readers[descriptor].feed(data)) is None:
                    continue
                now = clock()
                latencies.append(now - sent_at[descriptor])
                if not is_right(asked[descriptor], body):
                    raise BenchFailed(f"a wrong answer to call {asked[descriptor]}: {body[:200]!r}")
                if now >= stop_at or (number := next(numbers, None)) is None:
                    waiting -= 1
                    continue
                asked[descriptor] = number
                sent_at[descriptor] = clock()
                send(wrapped, make(number))
        return latencies
