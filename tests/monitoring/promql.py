"""Which metrics and labels an expression of Prometheus speaks of. Far from a parser: promtool is asked for that."""

import re
from dataclasses import dataclass

_WORDS = {"and", "or", "unless", "offset", "bool", "inf", "nan"}
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_WINDOW = re.compile(r"\[[^]]*]|\boffset\s+\w+")
_CLAUSE = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)|\bgroup_(?:left|right)\b")
_MATCHERS = re.compile(r"\{([^}]*)}")
_NAME = re.compile(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()")
_LABEL = re.compile(r"[a-zA-Z_]\w*")


@dataclass(frozen=True, slots=True)
class Spoken:
    """What an expression names."""

    metrics: frozenset[str]
    labels: frozenset[str]


def spoken_of(expression: str) -> Spoken:
    """The metrics it reads, and the labels it looks at."""
    rest = _WINDOW.sub(" ", _TEXT.sub('""', expression))
    labels = {name for clause in _CLAUSE.findall(rest) for name in _LABEL.findall(clause)}
    rest = _CLAUSE.sub(" ", rest)
    labels |= {name for matchers in _MATCHERS.findall(rest) for name in _LABEL.findall(matchers)}
    rest = _MATCHERS.sub(" ", rest)
    metrics = {name for name in _NAME.findall(rest) if name.lower() not in _WORDS}
    return Spoken(frozenset(metrics), frozenset(labels))
