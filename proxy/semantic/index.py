"""Which texts have been asked, in memory: vectors by what must be equal, bounded by their number and for each scope.

A row is found under the digest of its request without the text and of the text's facts (guards.py), so that comparing
vectors is left to the few that differ in nothing else. Vectors come from prompts: they are never written anywhere, and
what is kept besides them is digests and lengths.
"""

import math
from array import array
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

type Vector = array[float]

MOST_ROWS: Final = 20_000  # with 512 numbers each: about 50 MB
MOST_ROWS_OF_A_SCOPE: Final = 5_000  # one caller's, so that nobody pushes all others out
MOST_ROWS_ALIKE: Final = 16  # with equal facts: what is more says nothing new


@dataclass(frozen=True, slots=True)
class Row:
    """One text that was answered. `fingerprint`: of the call, under which the store has the answer."""

    fingerprint: bytes
    characters: int
    vector: Vector = field(repr=False)


@dataclass(frozen=True, slots=True)
class Match:
    """A call whose text the guards cannot tell from the one that was asked for."""

    fingerprint: bytes
    similarity: float


def to_vector(numbers: Iterable[float]) -> Vector:
    """In four bytes a number."""
    return array("f", numbers)


def cosine(one: Vector, other: Vector) -> float:
    """Of two vectors; 0 where that means nothing."""
    if len(one) != len(other):
        return 0.0
    length = math.sqrt(math.sumprod(one, one) * math.sumprod(other, other))
    return math.sumprod(one, other) / length if length else 0.0


class Index:
    """Rows by what must be equal; what was added first goes first."""

    def __init__(self, most: int = MOST_ROWS, most_of_a_scope: int = MOST_ROWS_OF_A_SCOPE) -> None:
        self._most = most
        self._most_of_a_scope = most_of_a_scope
        self._rows: dict[bytes, list[Row]] = {}
        self._order: OrderedDict[bytes, tuple[bytes, bytes]] = OrderedDict()  # fingerprint: its scope and key
        self._scopes: dict[bytes, OrderedDict[bytes, None]] = {}

    def __len__(self) -> int:
        return len(self._order)

    def like(self, key: bytes) -> tuple[Row, ...]:
        """All rows with this key."""
        return tuple(self._rows.get(key, ()))

    def add(self, scope: bytes, key: bytes, row: Row) -> None:
        """Keep a row, in the place of an older one of the same call."""
        self.forget(row.fingerprint)
        rows = self._rows.setdefault(key, [])
        rows.append(row)
        self._order[row.fingerprint] = (scope, key)
        of_scope = self._scopes.setdefault(scope, OrderedDict())
        of_scope[row.fingerprint] = None
        if len(rows) > MOST_ROWS_ALIKE:
            self.forget(rows[0].fingerprint)
        if len(of_scope) > self._most_of_a_scope:
            self.forget(next(iter(of_scope)))
        if len(self._order) > self._most:
            self.forget(next(iter(self._order)))

    def forget(self, fingerprint: bytes) -> None:
        """Drop a call's row, if there is one."""
        found = self._order.pop(fingerprint, None)
        if found is None:
            return
        scope, key = found
        rows = self._rows[key]
        rows[:] = [row for row in rows if row.fingerprint != fingerprint]
        if not rows:
            del self._rows[key]
        del self._scopes[scope][fingerprint]
        if not self._scopes[scope]:
            del self._scopes[scope]
