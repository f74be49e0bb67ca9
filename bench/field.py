"""One run: its upstream, its directory, the contestants of a section side by side, and rounds that alternate.

Rules: contestants of a section are all up while it runs, and one at a time is under load; each round visits all of
them, so that a disturbance of the machine meets all alike. Leaving the run stops everything and removes its files.
"""

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.closed_loop import Loop, Measured
from bench.contestants import Contestant, Mitmdump, Skinflint, Upstream
from bench.target import Target
from bench.work import Requests


@dataclass(frozen=True, slots=True)
class Scale:
    """How long and how often."""

    rounds: int
    seconds: float  # of a round of calls
    stream_events: int  # of a stream, at 20 a second
    starts: int
    mixed_calls: int
    large_calls: int


FULL = Scale(rounds=5, seconds=3.0, stream_events=160, starts=10, mixed_calls=200_000, large_calls=1_000)
QUICK = Scale(rounds=2, seconds=1.0, stream_events=60, starts=3, mixed_calls=20_000, large_calls=200)


@dataclass(frozen=True, slots=True)
class Entrant:
    """A contestant that is up, and how it is asked."""

    contestant: Contestant
    target: Target
    numbers: Iterator[int]

    @property
    def name(self) -> str:
        """The contestant's."""
        return self.contestant.name


class Run:
    """See the module."""

    def __init__(self, scale: Scale, say: Callable[[str], None]) -> None:
        self.scale = scale
        self.say = say
        self.numbers = itertools.count(1)  # of distinct calls, over the whole run
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            directory = tempfile.mkdtemp(prefix="skinflint-bench-")
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            self.directory = Path(directory)
            self.upstream = stack.enter_context(Upstream(self._new_directory()))
            self._compile()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _new_directory(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.directory))

    def _compile(self) -> None:
        """Start each program once, so that bytecode is cached as after an installation."""
        with self.up(Skinflint(), Mitmdump("hit")):
            pass

    @contextlib.contextmanager
    def up(self, *contestants: Contestant) -> Iterator[list[Target]]:
        """Start these, each in a directory of its own; stop them at the end."""
        with contextlib.ExitStack() as stack:
            targets = []
            for contestant in contestants:
                stack.callback(contestant.stop)
                targets.append(contestant.start(self.upstream, self._new_directory()))
            yield targets

    def entrants(
        self, contestants: Sequence[Contestant], targets: Sequence[Target], *, repeating: Sequence[Contestant] = ()
    ) -> list[Entrant]:
        """`repeating` ones are asked the same thing again and again, the others never."""
        return [
            Entrant(contestant, target, itertools.repeat(0) if contestant in repeating else self.numbers)
            for contestant, target in zip(contestants, targets, strict=True)
        ]

    def alternate(self, entrants: Sequence[Entrant], connections: int) -> dict[str, list[Measured]]:
        """Rounds of whole calls, after a warm-up, by contestant's name."""
        requests = Requests()
        measured: dict[str, list[Measured]] = {entrant.name: [] for entrant in entrants}
        with contextlib.ExitStack() as stack:
            loops = []
            for entrant in entrants:
                loop = stack.enter_context(Loop(entrant.target, connections, requests, entrant.numbers))
                loop.run(min(1.0, self.scale.seconds))
                loops.append(loop)
            for number in range(self.scale.rounds):
                for entrant, loop in zip(entrants, loops, strict=True):
                    one = loop.run(self.scale.seconds)
                    measured[entrant.name].append(one)
                    self.say(f"round {number + 1}: {entrant.name}: {one.rate:,.0f}/s, p50 {one.p50_ms:.3f} ms")
        return measured
