"""What is counted: one hit, one forward over HTTP/2, one streamed event.

Rules: warm up first, until caches are filled and the interpreter has specialised what runs; then rounds of ROUND, each
from quiet to quiet; the median of the rounds is the count, so one that a timer fell into does not matter.
"""

import contextlib
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.budget.caller import Caller
from bench.budget.callgrind import ROUND, CountedProxy
from bench.contestants import Upstream
from bench.processes import LOAD_CORE, pin

NAMES: Final = ("hit", "forward", "event")
_ROUNDS: Final = {"hit": 5, "forward": 3, "event": 5}
_WARM_ROUNDS: Final = 3

type Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Counted:
    """One kind of work: instructions for one of it, a value a round, and the files of the last round."""

    name: str
    rounds: list[int]
    files: list[Path]

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
        self._number = 0  # of the last distinct call; 0 is the one that is repeated

    @property
    def pid(self) -> int:
        """The proxy's process id."""
        return self._proxy.pid

    def warm(self, names: Sequence[str]) -> None:
        """Let everything happen that happens only at first. Not counted."""
        rounds = {"hit": self._hits, "forward": self._forwards}
        for name in names:
            for _ in range(_WARM_ROUNDS):
                rounds[name]() if name in rounds else self._stream(1)

    def count(self, name: str) -> Counted:
        """The rounds of one kind."""
        if name == "event":
            return self._stream(_ROUNDS[name])
        ask = self._hits if name == "hit" else self._forwards
        ask()  # translates, for valgrind, what was not instrumented yet
        counts: list[int] = []
        files: list[Path] = []
        for _ in range(_ROUNDS[name]):
            self._proxy.begin()
            ask()
            count, files = self._proxy.end()
            counts.append(round(count / ROUND))
        return Counted(name, counts, files)

    def _hits(self) -> None:
        for _ in range(ROUND):
            self._caller.ask(0)

    def _forwards(self) -> None:
        for _ in range(ROUND):
            self._number += 1
            self._caller.ask(self._number)

    def _stream(self, rounds: int) -> Counted:
        self._number += 1
        counts: list[int] = []
        files: list[Path] = []
        events = (rounds + 1) * ROUND
        stream = self._caller.begin_stream(self._number, events)
        stream.read(ROUND)
        for done in range(1, rounds + 1):
            self._proxy.begin()
            stream.read((done + 1) * ROUND)
            count, files = self._proxy.end()
            counts.append(round(count / ROUND))
        stream.end()
        return Counted("event", counts, files)


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
        yield work
