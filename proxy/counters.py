"""Running totals for /v1/stats: a handful of numbers, always there, whatever the ledger does."""

from dataclasses import dataclass

from proxy.exchange.record import NANO_PER_USD, CallRecord


@dataclass(frozen=True, slots=True)
class Counted:
    """What a process has counted, as plain numbers."""

    outcomes: dict[str, int]
    paid_nanousd: int = 0
    saved_nanousd: int = 0
    potential_nanousd: int = 0
    unpriced: int = 0


class Counters:
    """Since the start of the process."""

    def __init__(self) -> None:
        self._outcomes: dict[str, int] = {}
        self._paid = 0
        self._saved = 0
        self._potential = 0
        self._unpriced = 0

    def count(self, record: CallRecord) -> None:
        """A settled call."""
        outcome = record.outcome  # a text as it is; its `value` is found by Python code
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1
        self._paid += record.cost_nanousd or 0
        self._saved += record.saved_nanousd or 0
        self._potential += record.potential_nanousd or 0
        self._unpriced += record.cost_nanousd is None

    @property
    def total(self) -> int:
        """How many calls."""
        return sum(self._outcomes.values())

    def counted(self) -> Counted:
        """The numbers behind the totals, to add up with those of other processes."""
        return Counted(self._counts(), self._paid, self._saved, self._potential, self._unpriced)

    def _counts(self) -> dict[str, int]:
        return {str(outcome): count for outcome, count in self._outcomes.items()}

    def add(self, others: Counted) -> None:
        """Count what another process has counted."""
        for outcome, count in others.outcomes.items():
            self._outcomes[outcome] = self._outcomes.get(outcome, 0) + count
        self._paid += others.paid_nanousd
        self._saved += others.saved_nanousd
        self._potential += others.potential_nanousd
        self._unpriced += others.unpriced

    def totals(self) -> dict[str, object]:
        """All of it, money in USD."""
        answered = self._outcomes.get("hit", 0) + self._outcomes.get("collapsed", 0)
        cacheable = answered + self._outcomes.get("miss", 0)
        return {
            "total": self.total,
            **self._counts(),
            "hit_ratio": round(answered / cacheable, 4) if cacheable else None,
            "cost_usd": self._paid / NANO_PER_USD,
            "saved_usd": self._saved / NANO_PER_USD,
            "would_have_saved_usd": self._potential / NANO_PER_USD,
            "unpriced": self._unpriced,
        }
