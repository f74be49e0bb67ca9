"""Instructions by Python function: its own, with those of the C functions that it calls directly.

Rules: CPython's trampolines for profilers (PYTHONPERFSUPPORT) give each Python function machine code of its own, which
callgrind sees as a function without a name; a map beside says which is which. C functions that have a name are told
to callgrind as to be skipped, so it counts them to their caller; the rest is shared out to the callers here, and so are
generated methods, such as a dataclass's `__init__`, which have no file.
"""

import ast
import string
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from bench.budget.graph import Function, Graph

VARIABLES: Final = {"PYTHONPERFSUPPORT": "1"}
OPTIONS: Final = tuple(f"--fn-skip={letter}*" for letter in f"_{string.ascii_letters}")
_PASSES: Final = 30  # of sharing out: more than C functions without a name stand on one another


def map_path(pid: int) -> Path:
    """Where CPython writes which trampoline is which function's."""
    return Path(f"/tmp/perf-{pid}.map")


def read_map(text: str) -> dict[int, str]:
    """Address to `qualified.name:file`, of functions that have a file."""
    found = {}
    for line in text.splitlines():
        address, _, rest = line.partition(" ")
        _, _, name = rest.partition(" ")
        if name.startswith("py::") and not name.endswith(":<string>"):
            found[int(address, 16)] = name.removeprefix("py::")
    return found


def by_python_function(graph: Graph, functions: Mapping[int, str]) -> Counter[str]:
    """Instructions by `qualified.name:file`, and by library for what no Python function called."""
    own = Counter(graph.own)
    python = {each: name for each in own if (name := _python_name(each, functions))}
    for _ in range(_PASSES):
        for each in [each for each in own if each not in python]:
            callers = graph.calls.get(each)
            if not callers or not (total := callers.total()):
                continue
            cost = own.pop(each)
            for caller, share in callers.items():
                own[caller] += cost * share // total
                if name := _python_name(caller, functions):
                    python[caller] = name
    found: Counter[str] = Counter()
    for each, cost in own.items():
        found[python.get(each) or f"[{Path(each.library).name or each.name}]"] += cost
    return found


def _python_name(function: Function, functions: Mapping[int, str]) -> str | None:
    return None if function.is_named else functions.get(int(function.name.split()[0], 16))


def place(name: str, root: Path) -> str:
    """`file:line name` for `qualified.name:file`; the file is relative to `root`, or to site-packages."""
    qualified, _, file = name.rpartition(":")
    if not qualified:
        return name
    path = Path(file)
    shown = path.relative_to(root) if path.is_relative_to(root) else file.rpartition("site-packages/")[2]
    named, _, _ = qualified.partition(".<locals>.<")  # lambdas and the like: where the function around them begins
    line = _lines(path).get(named)
    return f"{shown}:{line} {qualified}" if line else f"{shown} {qualified}"


@cache
def _lines(path: Path) -> dict[str, int]:
    """The line of each function of a file, by qualified name."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[str, int] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    found.setdefault(prefix + child.name, child.lineno)
                    visit(child, f"{prefix}{child.name}.<locals>.")
                case ast.ClassDef():
                    visit(child, f"{prefix}{child.name}.")
                case _:
                    visit(child, prefix)

    visit(tree, "")
    return found
