"""One run: its upstream, its directory, the contestants of a section side by side, and rounds that alternate.

Rules: contestants of a section are all up while it runs, and one at a time is under load; each round visits all of
them, so that a disturbance of the machine meets all alike. Leaving the run stops everything and removes its files.
"""

import contextlib
import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.closed_loop import Loop, Measured
from bench.contestants import Contestant, Mitmdump, Skinflint, Upstream
from bench.failures import BenchFailed
from bench.rivals.base import Rival, Work
from bench.rivals.choice import NAMES, rivals
from bench.target import Target
from bench.work import Requests


@dataclass(frozen=True, slots=True)
class Scale:
    """How long and how often."""

    rounds: int
    seconds: float  # of a round of calls
    stream_s: float  # of each stream, where a hundred or fewer are open; of more, all are open for twice as long
    starts: int
    mixed_calls: int
    large_calls: int
    rival_starts: int  # of each rival
    warm_up_s: float  # at most, before the first round: V8 compiles what has run often


FULL = Scale(
    rounds=5,
    seconds=1.5,
    stream_s=1.5,
    starts=8,
    mixed_calls=200_000,
    large_calls=1_000,
    rival_starts=2,
    warm_up_s=8.0,
)
QUICK = Scale(
    rounds=2,
    seconds=1.0,
    stream_s=1.0,
    starts=3,
    mixed_calls=20_000,
    large_calls=200,
    rival_starts=1,
    warm_up_s=2.0,
)

_WARM_CALLS = 3_000
_REASON = 200  # characters of a failure that are told
_SETTLE_S = 0.2  # of calls before each round, which are not counted


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


@dataclass(slots=True)
class Field:
    """The contestants of a section that are up, and why others are not there."""

    entrants: list[Entrant] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)  # reason by name
    ways: dict[str, str] = field(default_factory=dict)  # how each is asked, by name, of those that left as well
    surplus: Counter[str] = field(default_factory=Counter)  # answers of the upstream less calls, by name

    def add(self, entrant: Entrant) -> None:
        """One more."""
        self.entrants.append(entrant)
        self.ways[entrant.name] = entrant.target.way


class Run:
    """See the module."""

    def __init__(self, scale: Scale, say: Callable[[str], None], against: Collection[str] = NAMES) -> None:
        """`against`: the rivals that take part."""
        self.scale = scale
        self._against = against
        self._warm: list[Entrant] = []
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

    def rivals(self, work: Work) -> list[Contestant]:
        """Those that were asked for, set up for this work."""
        return rivals(work, self._against)

    @contextlib.contextmanager
    def field(self, contestants: Sequence[Contestant], *, repeating: Sequence[Contestant] = ()) -> Iterator[Field]:
        """As `up`, but a rival that is missing or does not start is told of.

        `repeating` ones are asked the same thing again and again, the others never.
        """
        with contextlib.ExitStack() as stack:
            found = Field()
            for contestant in contestants:
                reason = contestant.why_missing() if isinstance(contestant, Rival) else None
                if reason is None:
                    stack.callback(contestant.stop)
                    try:
                        target = contestant.start(self.upstream, self._new_directory())
                        numbers = itertools.repeat(0) if contestant in repeating else self.numbers
                        found.add(Entrant(contestant, target, numbers))
                    except BenchFailed as failure:
                        reason = _forgiven(contestant, failure)
                if reason is not None:
                    found.absent[contestant.name] = reason
                    self.say(f"{contestant.name}: {reason}")
            yield found

    def compare(
        self, field: Field, connections: int, requests: Callable[[Target], Requests], *, seconds: float
    ) -> dict[str, list[Measured]]:
        """Alternating rounds of whole calls, by contestant's name. A rival that fails moves to `field.absent`."""
        measured: dict[str, list[Measured]] = {entrant.name: [] for entrant in field.entrants}
        for number in range(self.scale.rounds + 1):  # the first one warms up
            for entrant in list(field.entrants):
                asked = requests(entrant.target)
                answered = self.upstream.counters()["answers"]
                try:
                    if number == 0:
                        self._warm_up(entrant, connections, asked)
                        continue
                    with Loop(entrant.target, connections, asked, entrant.numbers) as loop:
                        before = loop.run(_SETTLE_S)
                        one = loop.run(seconds)
                except (BenchFailed, OSError) as failure:
                    self.drop(field, entrant, failure)
                    measured.pop(entrant.name)
                    continue
                answered = self.upstream.counters()["answers"] - answered
                field.surplus[entrant.name] += answered - before.calls - one.calls
                measured[entrant.name].append(one)
                self.say(f"round {number}: {entrant.name}: {one.rate:,.0f}/s, p50 {one.p50_ms:.3f} ms")
        return measured

    def _warm_up(self, entrant: Entrant, connections: int, requests: Requests) -> None:
        """Once for each that is up; later, for other calls, only in short."""
        calls = connections if entrant in self._warm else _WARM_CALLS
        self._warm.append(entrant)
        with Loop(entrant.target, connections, requests, itertools.islice(entrant.numbers, calls)) as loop:
            loop.run(self.scale.warm_up_s)

    def drop(self, field: Field, entrant: Entrant, failure: BenchFailed | OSError) -> None:
        """A contestant failed: the run goes on without it when it is a rival. Raises the failure when it is not."""
        field.absent[entrant.name] = _forgiven(entrant.contestant, failure)
        field.entrants.remove(entrant)
        self.say(f"{entrant.name}: {field.absent[entrant.name]}")


def _forgiven(contestant: Contestant, failure: BenchFailed | OSError) -> str:
    """The reason to write down for a rival; the failure itself of anyone else is raised."""
    if not isinstance(contestant, Rival):
        raise failure
    told = " ".join(str(failure).replace("|", " ").split())
    return f"failed: {told if len(told) < _REASON else f'{told[: _REASON // 2]} … {told[-_REASON // 2 :]}'}"
