"""What a proxy says of its calls and tiers."""

import urllib.request
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Told:
    """Of /v1/stats: counts by outcome with their `total`, and the figures of each tier by name."""

    calls: dict[str, float | None]  # ratios may be unknown
    cache: dict[str, dict[str, float]]

    def count(self, outcome: str) -> int:
        """Calls of an outcome, or the `total`."""
        return int(self.calls.get(outcome) or 0)


_FORMAT: Final = TypeAdapter(Told)


def look(admin: str | None) -> Told:
    """Ask an operators' listener."""
    with urllib.request.urlopen(f"http://{admin}/v1/stats", timeout=10) as response:
        return _FORMAT.validate_json(response.read())


def answered_from(before: Told, after: Told) -> str:
    """Where the one call between the two was answered from. A tier in memory does not count its hits."""
    if after.count("hit") == before.count("hit"):
        return "upstream"
    grown = [name for name, tier in after.cache.items() if tier["hits"] > before.cache[name]["hits"]]
    return grown[0] if grown else next(iter(after.cache))
