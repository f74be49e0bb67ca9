"""How many streams at once and how fast: the loads of the streams section, and what a contestant made of one.

Rules: pure. A load is taken by all that could keep up with the lighter ones; who could not is left out of the heavier
ones, with the reason, as it would only show longer queues.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench.field import Scale
from bench.streams import Plan, Streamed

RATE: Final = 20.0  # events a second in each stream, where nothing else is said
FAST: Final = 50.0
FEW: Final = 100
SIZES: Final = (1, 10, FEW, 500, 1_000, 2_000)
RATES: Final = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, FAST)  # of so many streams as there are at most
_BEGIN: Final = 1_000  # streams a second that begin, where there are many
_LATE_MS: Final = 100.0  # two events' time
_FULL: Final = 0.93  # of a core: begin and end of a load take time too, and nothing is ever alone on a core
_IN_TIME: Final = 0.97


@dataclass(frozen=True, slots=True)
class Load:
    """Streams at once, events a second in each."""

    streams: int
    rate: float

    @property
    def is_large(self) -> bool:
        """Whether each contestant has a fresh process for it, and no other is up."""
        return self.streams > FEW

    @property
    def title(self) -> str:
        """In a table's words."""
        return f"{self.streams:,} stream{'s' if self.streams > 1 else ''}, {self.rate:.0f} events/s each"

    def rounds(self, scale: Scale) -> int:
        """As usual up to a hundred; two of five hundred, one beyond."""
        if not self.is_large:
            return scale.rounds
        return min(scale.rounds, 2) if self.streams < 1_000 else 1

    def plan(self, scale: Scale) -> Plan:
        """Many streams need time to begin."""
        if not self.is_large:
            return Plan(self.streams, int(scale.stream_s * self.rate), self.rate, min(self.streams / FEW / 2, 1.0))
        spread_s = max(self.streams / _BEGIN, 0.5)
        return Plan(self.streams, int((spread_s + 2 * scale.stream_s) * self.rate), self.rate, spread_s)


LOADS: Final = tuple(
    sorted(
        [*[Load(size, RATE) for size in SIZES], Load(FEW, FAST)], key=lambda load: (load.streams * load.rate, load.rate)
    )
)


def why_left_out(load: Load, rounds: Sequence[Streamed]) -> str | None:
    """Why whoever made this of that load has no part in heavier ones; None when it kept up."""
    late_ms, lost = median([one.p50_ms for one in rounds]), sum(one.lost for one in rounds)
    if late_ms < _LATE_MS and lost == 0:
        return None
    return f"left out beyond {load.title}: there its events came {late_ms:,.0f} ms late (p50), {lost:,} lost"


def reached(plan: Plan, one: Streamed) -> float:
    """Events a second over all streams, in the time that was not needed for them to begin."""
    return plan.streams * (plan.events - 1) / max(one.seconds - plan.spread_s, 1e-9)


def keeps_up(plan: Plan, one: Streamed) -> bool:
    """All events, as many a second as asked for, and each there before the next one is due (p50)."""
    asked = plan.streams * plan.rate
    return one.lost == 0 and reached(plan, one) >= _IN_TIME * asked and one.p50_ms < 1_000 / plan.rate


def verdict(plan: Plan, one: Streamed) -> str:
    """Whether it kept up, and what is full."""
    full = [
        name
        for name, share in (("the proxy's core", one.cpu_share), ("the load side's core", one.load_core))
        if share >= _FULL
    ]
    if keeps_up(plan, one):
        return "keeps up" + (f"; {' and '.join(full)} nearly full" if full else "")
    return f"{' and '.join(full)} full" if full else "late, though no core is full: the machine had other work"
