"""What is counted: one hit, one forward over HTTP/2, one streamed event.

Rules: warm up first, until caches are filled and the interpreter has specialised what runs; then rounds of ROUND, each
from quiet to quiet; the median of the rounds is the count, so one that a timer fell into does not matter.
"""

import contextlib
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bench.budget.caller import Caller, Stream
from bench.budget.callgrind import ROUND, CountedProxy
from bench.contestants import Upstream
from bench.processes import LOAD_CORE, pin

NAMES: Final = ("hit", "forward", "event")
_ROUNDS: Final = 3
_EVENTS: Final = 150  # of a round
_WARM_ROUNDS: Final = 3
_WARM_EVENTS: Final = 50

type Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Counted:
    """One kind of work: instructions for one of it, a value a round, and callgrind's file of the last round."""

    name: str
    size: int  # how many of it a round has
    rounds: list[int]
    file: Path

    @property
    def median(self) -> int:
        """Over the rounds."""
        return int(statistics.median(self.rounds))

    @property
    def spread(self) -> float:
        """From the least to the most, as a share of the median."""
        return (max(self.rounds) - min(self.rounds)) / self.median


class Work:
    """Rounds of each kind on one connection."""

    def __init__(self, proxy: CountedProxy, caller: Caller) -> None:
        self._proxy = proxy
        self._caller = caller
        self._calls = 0  # so far; also the number of the last distinct one. 0 is the one that is repeated

    @property
    def pid(self) -> int:
        """The proxy's process id."""
        return self._proxy.pid

    def warm(self, names: Sequence[str]) -> None:
        """Let everything happen that happens only at first. Not counted."""
        for name in names:
            for _ in range(_WARM_ROUNDS):
                if name == "event":
                    self._end(self._begin_stream(_WARM_EVENTS), _WARM_EVENTS)
                else:
                    self._ask(name)
        while self._calls % ROUND:  # from here each round of calls is one write to the ledger, at its end
            self._ask_one("hit")
        self._proxy.wait_until_quiet()

    def count(self, name: str) -> Counted:
        """The rounds of one kind."""
        return self._count_events() if name == "event" else self._count_calls(name)

    def _count_calls(self, name: str) -> Counted:
        self._ask(name)  # valgrind translates what was not instrumented yet
        return self._count(name, ROUND, [lambda: self._ask(name)] * _ROUNDS)

    def _count_events(self) -> Counted:
        stream = self._begin_stream((_ROUNDS + 1) * _EVENTS)
        stream.read(_EVENTS)
        reads = [partial(stream.read, (done + 2) * _EVENTS) for done in range(_ROUNDS)]
        counted = self._count("event", _EVENTS, reads)
        self._end(stream, (_ROUNDS + 1) * _EVENTS)
        return counted

    def _count(self, name: str, size: int, rounds: Sequence[Callable[[], None]]) -> Counted:
        counts = []
        file = Path()
        for work in rounds:
            self._proxy.begin()
            work()
            count, file = self._proxy.end()
            counts.append(round(count / size))
        return Counted(name, size, counts, file)

    def _ask(self, name: str) -> None:
        """A round of calls, and what they leave to do."""
        for _ in range(ROUND):
            self._ask_one(name)
        self._proxy.wait_until_quiet()

    def _ask_one(self, name: str) -> None:
        self._calls += 1
        self._caller.ask(0 if name == "hit" else self._calls)

    def _begin_stream(self, events: int) -> Stream:
        self._calls += 1
        return self._caller.begin_stream(self._calls, events)

    def _end(self, stream: Stream, events: int) -> None:
        stream.read(events)
        stream.end()
        self._proxy.wait_until_quiet()


@contextlib.contextmanager
def working(
    names: Sequence[str], say: Say, *, options: Sequence[str] = (), variables: dict[str, str] | None = None
) -> Iterator[Work]:
    """A warm, instrumented proxy with an upstream and a client; stopped and removed at the end."""
    pin(LOAD_CORE)
    with tempfile.TemporaryDirectory(prefix="skinflint-budget-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        upstream = stack.enter_context(Upstream(directory))
        say("starting the proxy under valgrind …")
        proxy = stack.enter_context(CountedProxy(upstream, directory, options=options, variables=variables))
        caller = stack.enter_context(Caller(proxy.target, upstream.pace))
        work = Work(proxy, caller)
        say("warming up …")
        work.warm(names)
        proxy.instrument()
        proxy.measure_idle()
        yield work
