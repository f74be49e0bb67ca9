"""The labelled pairs: texts that one answer may serve both of, and texts that it must not.

`pairs.jsonl`, one a line: `kind`, `same`, `a`, `b`. Every second pair is held out: rules and threshold are made with
the others before one's eyes, and judged by these.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from proxy.semantic.guards import are_alike_in_length, facts

PAIRS = Path(__file__).parent / "pairs.jsonl"


@dataclass(frozen=True)
class Pair:
    """Two texts, and whether they ask for the same."""

    kind: str
    same: bool
    a: str
    b: str
    is_held_out: bool


def pairs() -> list[Pair]:
    """All of them."""
    with PAIRS.open(encoding="utf-8") as lines:
        return [Pair(**json.loads(line), is_held_out=number % 2 == 1) for number, line in enumerate(lines)]


def guards_let_pass(a: str, b: str) -> bool:
    """What the stage asks before it asks the model."""
    one, other = facts(a), facts(b)
    return one is not None and one == other and are_alike_in_length(len(a), len(b))
