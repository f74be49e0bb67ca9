"""Instructions by Python function."""

from collections import Counter
from pathlib import Path

from bench.budget.graph import Function, Graph
from bench.budget.python_costs import by_python_function, place, read_map

OUTER = Function("0x0000000000005000", "???")
INNER = Function("0x0000000000005010", "???")
NAMES = {0x5000: "outer:/a.py", 0x5010: "inner:/a.py"}
CODEC = "/site/codec.so"


def test_map_names_trampolines_only() -> None:
    text = "5000 b py::outer:/a.py\n5010 b py::Class.method:/with blank.py\n6000 20 uv__io_poll\n"
    assert read_map(text) == {0x5000: "outer:/a.py", 0x5010: "Class.method:/with blank.py"}


def test_generated_methods_are_no_functions_of_their_own() -> None:
    assert read_map("5000 b py::__create_fn__.<locals>.__init__:<string>\n") == {}


def test_c_code_counts_to_the_python_functions_that_call_it_by_share() -> None:
    deep, near = Function("0x0000000000000020", CODEC), Function("0x0000000000000010", CODEC)
    graph = Graph(
        own=Counter({OUTER: 100, INNER: 200, near: 40, deep: 60}),
        calls={deep: Counter({near: 60}), near: Counter({OUTER: 25, INNER: 75})},
    )
    assert by_python_function(graph, NAMES) == {"outer:/a.py": 125, "inner:/a.py": 275}


def test_calls_among_python_functions_stay_apart() -> None:
    graph = Graph(own=Counter({OUTER: 100, INNER: 200}), calls={INNER: Counter({OUTER: 200})})
    assert by_python_function(graph, NAMES) == {"outer:/a.py": 100, "inner:/a.py": 200}


def test_what_no_python_function_calls_goes_by_its_library() -> None:
    first, second = Function("0x0000000000000030", CODEC), Function("0x0000000000000040", CODEC)
    graph = Graph(own=Counter({first: 5, second: 6, Function("main", ""): 7}))
    assert by_python_function(graph, NAMES) == {"[codec.so]": 11, "[main]": 7}


def test_place_is_file_line_and_name(tmp_path: Path) -> None:
    source = tmp_path / "pkg" / "mod.py"
    source.parent.mkdir()
    source.write_text("class A:\n    def f(self):\n        if self:\n            async def g(): pass\n")
    assert place(f"A.f:{source}", tmp_path) == "pkg/mod.py:2 A.f"
    assert place(f"A.f.<locals>.g:{source}", tmp_path) == "pkg/mod.py:4 A.f.<locals>.g"
    assert place(f"A.f.<locals>.<lambda>:{source}", tmp_path) == "pkg/mod.py:2 A.f.<locals>.<lambda>"


def test_place_of_what_has_no_source() -> None:
    assert place("run:<frozen runpy>", Path("/root")) == "<frozen runpy> run"
    assert place("[codec.so]", Path("/root")) == "[codec.so]"
