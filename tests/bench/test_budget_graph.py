"""Callgrind's output, read."""

import pytest

from bench.budget.graph import Function, read_graph
from bench.budget.totals import total
from bench.failures import BenchFailed

# main (libone) calls work (libtwo) and an unnamed function; work calls itself, one level deeper.
OUTPUT = """\
# callgrind format
positions: line
events: Ir
summary: 1205

ob=(1) /lib/libone.so
fl=(1) main.c
fn=(1) main
16 400
+2 20
cob=(2) /lib/libtwo.so
cfi=(2) work.c
cfn=(2) work
calls=3 50
* 700
cfn=(3) 0x0000000000001230
calls=1 0
-1 30
18 5

ob=(2)
fl=(2)
fn=(2)
50 600
fi=(3) inline.h
7 100
cfn=(4) work'2
calls=2 50
+1 50

fn=(4)
50 50

ob=(1)
fn=(3)
0 30

totals: 1205
"""


def test_own_cost_leaves_out_what_was_called() -> None:
    own = read_graph(OUTPUT.splitlines()).own
    assert own[Function("main", "")] == 425


def test_levels_of_recursion_and_inlined_files_are_one_function() -> None:
    own = read_graph(OUTPUT.splitlines()).own
    assert own[Function("work", "")] == 750


def test_own_costs_add_up_to_the_total() -> None:
    assert read_graph(OUTPUT.splitlines()).own.total() == total(OUTPUT)


def test_function_without_a_name_is_told_by_its_library() -> None:
    graph = read_graph(OUTPUT.splitlines())
    unnamed = Function("0x0000000000001230", "/lib/libone.so")
    assert graph.own[unnamed] == 30
    assert graph.calls[unnamed] == {Function("main", ""): 30}


def test_callers_are_known_with_what_they_caused() -> None:
    calls = read_graph(OUTPUT.splitlines()).calls
    assert calls[Function("work", "")] == {Function("main", ""): 700, Function("work", ""): 50}


def test_total_is_what_was_counted_since_the_last_zero() -> None:
    assert total("summary: 7\n\ntotals: 9\n") == 7


@pytest.mark.parametrize("text", ["summary: 7\nfn=(1) main\n16 400\n", "totals: 9\n", ""])
def test_output_that_breaks_off_is_refused(text: str) -> None:
    with pytest.raises(BenchFailed, match="to the end"):
        total(text)
