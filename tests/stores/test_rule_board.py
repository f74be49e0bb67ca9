"""Rules that workers share: each obeys what any of them heard, whoever dies meanwhile."""

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from proxy.stores.base import Entry
from proxy.stores.rule_board import RuleBoard, SharedRules, read, written
from proxy.stores.rules import Kind, Rule

ENTRY = Entry(200, [], b"", False, 1_000.0, 60.0, "openai", "chat", "gpt-4o", tags=("eval",))
KEY = b"k" * 32


def test_what_one_worker_hears_all_obey_at_once() -> None:
    board = RuleBoard()
    one, other = SharedRules(board), SharedRules(board)
    assert not other.is_dead(KEY, ENTRY)
    one.add(Rule(Kind.TAG, "eval", one.next_stamp(1.0)))
    assert other.stamp == one.stamp == 1_000_000
    assert other.is_dead(KEY, ENTRY)


def test_a_worker_that_comes_later_knows_everything() -> None:
    board = RuleBoard()
    SharedRules(board).add(Rule(Kind.ALL, "", 5))
    assert SharedRules(board).is_dead(KEY, ENTRY)


def test_a_rule_that_is_known_takes_no_room() -> None:
    board = RuleBoard()
    rules = SharedRules(board)
    for _ in range(3):
        rules.add(Rule(Kind.TAG, "eval", 5))
    assert len(board.since((0, 0))) == 1


def test_a_full_board_forgets_too_much_and_goes_on() -> None:
    board = RuleBoard(room=200)
    one, other = SharedRules(board), SharedRules(board)
    for number in range(100):
        one.add(Rule(Kind.TAG, f"tag-{number}", one.next_stamp(1.0)))
        assert other.stamp == one.stamp
    assert other.is_dead(KEY, ENTRY)
    assert not other.is_dead(KEY, Entry(200, [], b"", False, 1_000.0, 60.0, "", "", "", epoch=one.stamp))


def test_workers_that_add_at_once_lose_nothing_and_wait_for_nobody() -> None:
    run = subprocess.run([sys.executable, "-m", "tests.stores.boards"], check=False, capture_output=True, timeout=60)
    assert run.returncode == 0, run.stderr.decode()


@given(st.text(min_size=1, max_size=256), st.integers(1, 2**62))
def test_a_rule_comes_back_from_its_line(value: str, stamp: int) -> None:
    rule = Rule(Kind.TAG, value, stamp)
    try:
        line = written(rule)
    except TypeError:
        return  # a surrogate, which no text that came as bytes has
    assert line.count(b"\n") == 1
    assert read(line) == rule
