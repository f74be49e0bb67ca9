"""Where the instructions of one kind of work go: the hottest C functions, and the hottest Python functions.

Rules: two runs, since the trampolines that tell Python functions apart make each call somewhat dearer; shares are of
the run that they stand in.
"""

from collections import Counter
from pathlib import Path
from typing import Final

from bench.budget.counts import Say, working
from bench.budget.graph import read_graph
from bench.budget.python_costs import OPTIONS, VARIABLES, by_python_function, map_path, place, read_map

_ROOT: Final = Path(__file__).parents[2]


def hottest_c(name: str, say: Say, rows: int) -> str:
    """A table of C functions by their own instructions."""
    with working([name], say) as work:
        counted = work.count(name)
        graph = read_graph(counted.file.read_text(errors="replace").splitlines())
    costs: Counter[str] = Counter()
    for function, cost in graph.own.items():
        costs[f"{function.name} [{Path(function.library).name}]" if function.library else function.name] += cost
    return _table(f"{name}: C functions, by themselves", costs, counted.size, rows)


def hottest_python(name: str, say: Say, rows: int) -> str:
    """A table of Python functions by their own instructions, with those of the C functions that they call."""
    with working([name], say, options=OPTIONS, variables=VARIABLES) as work:
        names = map_path(work.pid)
        try:
            counted = work.count(name)
            functions = read_map(names.read_text(errors="replace"))
            graph = read_graph(counted.file.read_text(errors="replace").splitlines())
        finally:
            names.unlink(missing_ok=True)
    costs: Counter[str] = Counter()
    for function, cost in by_python_function(graph, functions).items():
        costs[place(function, _ROOT)] += cost
    return _table(f"{name}: Python functions, each with the C code that it calls", costs, counted.size, rows)


def _table(title: str, costs: Counter[str], size: int, rows: int) -> str:
    total = costs.total()
    lines = [f"{title}; {total // size:,} instructions"]
    lines += [f"{cost // size:>12,} {cost / total:6.2%}  {name}" for name, cost in costs.most_common(rows)]
    return "\n".join(lines)
