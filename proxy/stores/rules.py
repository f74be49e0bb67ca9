"""What has been invalidated: rules that every entry is held against when it is read.

Rules: an entry dies by every rule that covers it and that it did not know of. It knows of those whose stamp is at most
its `epoch`, the highest stamp that was known where and when its upstream call began: so an answer that was under way
when the rule came dies by it as well, whatever clocks say, and invalidating everything is one rule, however much is
stored. Stamps only grow. What is held is bounded: past the limit the oldest rules become one that covers everything up
to their stamp, which forgets too much, never too little.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import translate
from typing import Final

from proxy.stores.base import Entry

MIN_PREFIX: Final = 8  # digits of a fingerprint
_WHOLE: Final = 64  # digits
_MOST_RULES: Final = 4_096
_MOST_PATTERNS: Final = 128  # each is tried on every entry that is older than it


class Kind(StrEnum):
    """What a rule looks at."""

    ALL = "all"
    FINGERPRINT = "fingerprint"  # hexadecimal digits, or the first of them
    NAMESPACE = "namespace"  # a wildcard pattern
    MODEL = "model"  # a wildcard pattern
    PROVIDER = "provider"
    TAG = "tag"
    LABEL = "label"  # name=value
    OLDER_THAN = "older_than"  # received before this moment, in seconds since the epoch


@dataclass(frozen=True, slots=True)
class Rule:
    """One invalidation. Raises ValueError, with what to change, for a value that its kind cannot have."""

    kind: Kind
    value: str
    stamp: int  # microseconds since the epoch when it was made, or more: it is above every earlier one

    def __post_init__(self) -> None:
        match self.kind:
            case Kind.ALL:
                valid, wanted = not self.value, "no value"
            case Kind.FINGERPRINT:
                valid = re.fullmatch(rf"[0-9a-f]{{{MIN_PREFIX},{_WHOLE}}}", self.value) is not None
                wanted = f"{MIN_PREFIX} to {_WHOLE} hexadecimal digits"
            case Kind.LABEL:
                valid, wanted = self.value.find("=") > 0, "NAME=VALUE"
            case Kind.OLDER_THAN:
                valid, wanted = re.fullmatch(r"\d+(\.\d+)?", self.value) is not None, "seconds since the epoch"
            case Kind.NAMESPACE | Kind.MODEL | Kind.PROVIDER | Kind.TAG:
                valid, wanted = 0 < len(self.value) <= 256, "1 to 256 characters"
        if not valid:
            raise ValueError(f"{self.kind}: must be {wanted}")


class Rules:
    """Everything that was invalidated, as far as it is known here."""

    def __init__(self) -> None:
        self._stamp = 0
        self._all = 0
        self._exact: dict[tuple[Kind, str], int] = {}
        self._patterns: dict[tuple[Kind, str], tuple[int, re.Pattern[str]]] = {}
        self._moments: dict[float, int] = {}

    @property
    def stamp(self) -> int:
        """The highest that is known."""
        return self._stamp

    def next_stamp(self, now: float) -> int:
        """One that no rule known here has. `now`: seconds since the epoch."""
        return max(int(now * 1_000_000), self.stamp + 1)

    def knows(self, rule: Rule) -> bool:
        """Would adding it change nothing?"""
        return rule.stamp <= self._all or any(rule == held for held in self._held())

    def add(self, rule: Rule) -> None:
        """Obey it from now on. A rule that is known already changes nothing."""
        self._stamp = max(self._stamp, rule.stamp)
        place = (rule.kind, rule.value)
        match rule.kind:
            case Kind.ALL:
                self._cover(rule.stamp)
            case Kind.OLDER_THAN:
                moment = float(rule.value)
                self._moments[moment] = max(rule.stamp, self._moments.get(moment, 0))
            case _ if _is_pattern(rule):
                known = self._patterns.get(place)
                pattern = known[1] if known else _compiled(rule)
                self._patterns[place] = (max(rule.stamp, known[0] if known else 0), pattern)
            case _:
                self._exact[place] = max(rule.stamp, self._exact.get(place, 0))
        self._bound()

    def is_dead(self, key: bytes, entry: Entry) -> bool:
        """Does a rule that it did not know of cover this entry?"""
        epoch = entry.epoch
        if epoch >= self.stamp:
            return False
        return (
            epoch < self._all
            or any(self._exact.get(place, 0) > epoch for place in _places(key, entry))
            or any(
                stamp > epoch and pattern.match(_looked_at(kind, key, entry)) is not None
                for (kind, _), (stamp, pattern) in self._patterns.items()
            )
            or any(stamp > epoch and entry.stored_at < moment for moment, stamp in self._moments.items())
        )

    def __iter__(self) -> Iterator[Rule]:
        """All that are held, oldest first."""
        return iter(sorted(self._held(), key=lambda rule: rule.stamp))

    def __len__(self) -> int:
        return bool(self._all) + len(self._exact) + len(self._patterns) + len(self._moments)

    def _held(self) -> Iterator[Rule]:
        if self._all:
            yield Rule(Kind.ALL, "", self._all)
        for (kind, value), stamp in self._exact.items():
            yield Rule(kind, value, stamp)
        for (kind, value), (stamp, _) in self._patterns.items():
            yield Rule(kind, value, stamp)
        for moment, stamp in self._moments.items():
            yield Rule(Kind.OLDER_THAN, f"{moment:.6f}", stamp)

    def _cover(self, stamp: int) -> None:
        """Everything up to this stamp is dead; what says less is not needed any more."""
        self._all = stamp = max(self._all, stamp)
        self._exact = {place: each for place, each in self._exact.items() if each > stamp}
        self._patterns = {place: each for place, each in self._patterns.items() if each[0] > stamp}
        self._moments = {moment: each for moment, each in self._moments.items() if each > stamp}

    def _bound(self) -> None:
        if len(self._exact) > _MOST_RULES:
            self._cover(sorted(self._exact.values())[len(self._exact) // 2])
        costly = [stamp for stamp, _ in self._patterns.values()] + list(self._moments.values())
        if len(costly) > _MOST_PATTERNS:
            self._cover(sorted(costly)[len(costly) // 2])


def _is_pattern(rule: Rule) -> bool:
    match rule.kind:
        case Kind.NAMESPACE | Kind.MODEL:
            return True
        case Kind.FINGERPRINT:
            return len(rule.value) < _WHOLE
        case _:
            return False


def _compiled(rule: Rule) -> re.Pattern[str]:
    return re.compile(re.escape(rule.value) if rule.kind is Kind.FINGERPRINT else translate(rule.value))


def _looked_at(kind: Kind, key: bytes, entry: Entry) -> str:
    match kind:
        case Kind.NAMESPACE:
            return entry.namespace
        case Kind.MODEL:
            return entry.model
        case _:
            return key.hex()


def _places(key: bytes, entry: Entry) -> Iterator[tuple[Kind, str]]:
    yield Kind.FINGERPRINT, key.hex()
    yield Kind.PROVIDER, entry.provider
    for tag in entry.tags:
        yield Kind.TAG, tag
    for name, value in entry.labels.items():
        yield Kind.LABEL, f"{name}={value}"
