"""Open-loop streaming load: K streams at once, each at its own pace, which the upstream sets.

Rules: the upstream writes the moment of sending into each event, on this machine's clock, so a delay is that of one
event's whole way. The first event's is counted from the sending of the request, as its client waits for it. Each stream
must bring every event once and in order, and its end marker.
"""

import gc
import itertools
import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.answers import StreamReader
from bench.failures import BenchFailed
from bench.figures import percentile
from bench.processes import cpu_seconds, resident_mib
from bench.target import Target, close_all, connect, receive, send
from bench.work import Requests

_SILENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is streamed."""

    streams: int
    events: int  # of each stream
    rate: float  # events a second, of each stream
    spread_s: float = 1.0  # over which the streams begin


@dataclass(frozen=True, slots=True)
class Streamed:
    """What came of it."""

    events: int
    lost: int
    seconds: float
    cpu_us: float  # of the contestant, an event
    cpu_share: float  # of one core
    first_p50_ms: float  # from the request to the first event
    first_p99_ms: float
    p50_ms: float  # from the writing of an event to the reading of it
    p99_ms: float
    gap_p50_ms: float  # how far the time between two events is from that at the origin
    gap_p99_ms: float
    load_core: float  # share of their one core that the load generator and the upstream took
    before_mib: float  # the contestant's memory before the first connection
    during_mib: float  # and with all streams open


def added_gaps(delays_ns: Sequence[int]) -> list[int]:
    """By how much the time between two events of a stream, when they are read, differs from that at the origin.

    Of events that follow one another; longer and shorter alike. It is what their delays differ by, so that a constant
    delay adds nothing, and it does not matter when the clock began.
    """
    return [abs(later - earlier) for earlier, later in itertools.pairwise(delays_ns)]


def run_streams(target: Target, plan: Plan, numbers: Iterator[int], upstream_pid: int) -> Streamed:
    """Connect all, then begin all, then read to the end of all. Raises BenchFailed on a wrong byte."""
    pid = target.pid
    before_mib = resident_mib(pid) if pid else 0.0
    context = target.context()
    sockets: list[socket.socket] = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(plan.streams):
            sockets.append(connect(target, context))  # noqa: PERF401 - those that are open must be closed
        return _Run(target, plan, sockets, numbers).run(before_mib, upstream_pid)
    finally:
        gc.enable()
        close_all(sockets)


class _Run:
    def __init__(self, target: Target, plan: Plan, sockets: list[socket.socket], numbers: Iterator[int]) -> None:
        self._target = target
        self._plan = plan
        self._sockets = {each.fileno(): each for each in sockets}
        self._numbers = numbers
        self._requests = Requests(events=plan.events, interval_us=int(1e6 / plan.rate), headers=target.headers)
        self._readers = {descriptor: StreamReader() for descriptor in self._sockets}
        self._asked_ns: dict[int, int] = {}
        self._firsts_ns: list[int] = []
        self._during_mib = 0.0

    def run(self, before_mib: float, upstream_pid: int) -> Streamed:
        pid = self._target.pid
        cpu_before = cpu_seconds(pid) if pid else 0.0
        load_before = time.process_time() + cpu_seconds(upstream_pid)
        started = time.perf_counter()
        with select.epoll() as epoll:
            for descriptor in self._sockets:
                epoll.register(descriptor, select.EPOLLIN)
            self._read_all(epoll, started)
        took = time.perf_counter() - started
        load = time.process_time() + cpu_seconds(upstream_pid) - load_before
        cpu = cpu_seconds(pid) - cpu_before if pid else 0.0
        return self._found(took, cpu, load, before_mib)

    def _found(self, took: float, cpu: float, load: float, before_mib: float) -> Streamed:
        readers = self._readers.values()
        delays = sorted([delay for reader in readers for delay in reader.delays_ns])
        gaps = sorted([gap for reader in readers for gap in added_gaps(reader.delays_ns)])
        if not gaps:
            raise BenchFailed("no two events came")
        lost = self._plan.streams * self._plan.events - len(delays)
        if lost == 0 and not all(reader.saw_done for reader in readers):
            raise BenchFailed("a stream ended without its end marker")
        firsts = sorted(self._firsts_ns)
        return Streamed(
            events=len(delays),
            lost=lost,
            seconds=took,
            cpu_us=cpu / len(delays) * 1e6,
            cpu_share=cpu / took,
            first_p50_ms=percentile(firsts, 0.5) / 1e6,
            first_p99_ms=percentile(firsts, 0.99) / 1e6,
            p50_ms=percentile(delays, 0.5) / 1e6,
            p99_ms=percentile(delays, 0.99) / 1e6,
            gap_p50_ms=percentile(gaps, 0.5) / 1e6,
            gap_p99_ms=percentile(gaps, 0.99) / 1e6,
            load_core=load / took,
            before_mib=before_mib,
            during_mib=self._during_mib,
        )

    def _read_all(self, epoll: select.epoll, started: float) -> None:
        """Begin the streams one by one, evenly spread, and read what comes until all have ended."""
        clock_ns, readers, sockets = time.monotonic_ns, self._readers, self._sockets
        to_begin = list(sockets)
        gap_s = self._plan.spread_s / len(to_begin)
        begun, ended = 0, 0
        look_at = started + self._plan.spread_s + self._plan.events / self._plan.rate / 2
        while ended < len(to_begin):
            now = time.perf_counter()
            while begun < len(to_begin) and now >= started + begun * gap_s:
                self._asked_ns[to_begin[begun]] = clock_ns()
                send(sockets[to_begin[begun]], self._requests.make(next(self._numbers)))
                begun += 1
            if not self._during_mib and now >= look_at and self._target.pid:
                self._during_mib = resident_mib(self._target.pid)
            ready = epoll.poll(gap_s if begun < len(to_begin) else _SILENCE_S)
            if not ready and begun == len(to_begin):
                raise BenchFailed(f"{len(to_begin) - ended} streams fell silent")
            for descriptor, _ in ready:
                if (data := receive(sockets[descriptor])) is None:
                    continue
                reader, read_ns = readers[descriptor], clock_ns()
                reader.feed(data, read_ns)
                if reader.delays_ns and descriptor in self._asked_ns:
                    self._firsts_ns.append(read_ns - self._asked_ns.pop(descriptor))
                if reader.is_complete:
                    ended += 1
                    epoll.unregister(descriptor)
