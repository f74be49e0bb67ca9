"""Callgrind's output as a graph: what each function cost by itself, and who called it.

Rules: pure. The format is that of valgrind's manual, "Callgrind Format Specification": names are written once and then
numbered, positions are relative, and the line after `calls=` is the callee's cost, not the function's own. Functions
without a name are called by their address; recursion levels are one function.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

_NAMED: Final = re.compile(r"^(c?)(fn|ob)=\((\d+)\)(?: (.*))?$")
_COST: Final = re.compile(r"^[-+*\d]\S* (\d+)$")
_LEVEL: Final = re.compile(r"'\d+$")


@dataclass(frozen=True, slots=True)
class Function:
    """One function. `name` is its address, 0x…, when it has none."""

    name: str
    library: str  # the file with its code; empty where a name says enough

    @property
    def is_named(self) -> bool:
        """Has its library told its name?"""
        return not self.name.startswith("0x")


@dataclass(frozen=True, slots=True)
class Graph:
    """Instructions by function, and calls by callee and caller."""

    own: Counter[Function] = field(default_factory=Counter)
    calls: dict[Function, Counter[Function]] = field(default_factory=dict)


class _Names:
    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    def take(self, kind: str, number: str, name: str | None) -> str:
        if name is not None:
            self._known[kind, number] = name
        return self._known[kind, number]


def _function(name: str, library: str) -> Function:
    name = _LEVEL.sub("", name)
    return Function(name, library if name.startswith("0x") else "")


def read_graph(lines: Iterable[str]) -> Graph:
    """The graph of one output file."""
    graph, names = Graph(), _Names()
    library = callee_library = ""
    function = callee = Function("", "")
    called = 0
    for line in lines:
        if (found := _NAMED.match(line)) is not None:
            is_callee, kind, number, name = found.groups()
            text = names.take(kind, number, name)
            match is_callee, kind:
                case "", "ob":
                    library = callee_library = text
                case "", _:
                    function = _function(text, library)
                    callee_library = library
                case _, "ob":
                    callee_library = text
                case _:
                    callee = _function(text, callee_library)
        elif line.startswith("calls="):
            called = int(line[6:].split()[0])
        elif (cost := _COST.match(line)) is not None:
            if called:
                graph.calls.setdefault(callee, Counter())[function] += int(cost[1])
                called, callee_library = 0, library
            else:
                graph.own[function] += int(cost[1])
    return graph
