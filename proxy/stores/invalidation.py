"""Invalidating: from an operator's wish to a rule that every tier, worker and replica obeys.

Rules: it is obeyed here before anything else is tried. Then it is kept where entries are kept, so that a restart does
not bring back what was invalidated, and announced to the other replicas. Who could not be reached is said, never
silently left out.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from proxy.stores.base import StoreUnavailableError
from proxy.stores.rules import Kind, Rule
from proxy.stores.tiers import Tiers

log = structlog.get_logger(__name__)


class RuleKeeper(Protocol):
    """Where rules outlive this process."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    async def keep(self, rule: Rule) -> Rule:
        """Keep it, and tell all who read there. Returns it with the stamp that it got there, if that is another one.
        Raises StoreUnavailableError."""
        ...


@dataclass(frozen=True, slots=True)
class Invalidated:
    """What became of it. `unreached`: keepers that do not know of the rule."""

    rule: Rule
    unreached: tuple[str, ...] = ()


class Invalidations:
    """`keepers`: in order; the first one's stamp counts for those after it. `clock`: seconds since the epoch."""

    def __init__(
        self, store: Tiers, keepers: Sequence[RuleKeeper] = (), *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._keepers = tuple(keepers)
        self._clock = clock

    async def invalidate(self, kind: Kind, value: str) -> Invalidated:
        """Everything that this covers and that is stored, or under way, now. Raises ValueError for a value that the
        kind cannot have, TimeoutError when the workers' shared rules are busy."""
        rules = self._store.rules
        rule = Rule(kind, value, rules.next_stamp(self._clock()))
        rules.add(rule)
        unreached = []
        for keeper in self._keepers:
            try:
                rule = await keeper.keep(rule)
            except StoreUnavailableError:
                unreached.append(keeper.name)
                continue
            rules.add(rule)
        log.info("cache_invalidated", kind=kind.value, unreached=unreached)
        return Invalidated(rule, tuple(unreached))
