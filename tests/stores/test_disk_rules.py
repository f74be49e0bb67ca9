"""Rules of invalidation live as long as the entries on disk, and reach every process on the file."""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from proxy.stores.disk import rules as disk_rules
from proxy.stores.disk.file import DiskFile
from proxy.stores.rules import Kind, Rule
from tests.stores.disks import DEADLINE_S, disk
from tests.support.waiting import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "cache.sqlite"


class Heard:
    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def __call__(self, rules: Sequence[Rule]) -> None:
        self.rules.extend(rules)


async def test_rules_are_known_before_anything_is_answered(path: Path) -> None:
    rules = [Rule(Kind.TAG, "a", 5), Rule(Kind.MODEL, "gpt-*", 6), Rule(Kind.LABEL, "team=x", 7)]
    async with disk(path) as store:
        for rule in rules:
            store.add_rule(rule)
        assert await store.flush(DEADLINE_S)
    heard = Heard()
    async with disk(path, on_rules=heard):
        assert heard.rules == rules


async def test_another_process_hears_of_a_rule_whatever_its_stamp(path: Path) -> None:
    first, second = Heard(), Heard()
    async with disk(path, on_rules=first) as one, disk(path, on_rules=second) as other:
        one.add_rule(Rule(Kind.TAG, "a", 50))
        await until(lambda: Rule(Kind.TAG, "a", 50) in second.rules, "the other hears of it")
        other.add_rule(Rule(Kind.TAG, "b", 40))
        await until(lambda: Rule(Kind.TAG, "b", 40) in first.rules, "the first hears of it")


async def test_a_rule_that_came_while_the_tier_was_down_is_kept(tmp_path: Path) -> None:
    in_the_way = tmp_path / "data"
    in_the_way.write_text("a file")
    heard = Heard()
    async with disk(in_the_way / "cache.sqlite", waits=False) as store:
        await until(lambda: not store.stats().is_up, "the tier is down")
        store.add_rule(Rule(Kind.TAG, "a", 5))
        in_the_way.unlink()
        await until(lambda: store.stats().is_up, "the tier is back")
    async with disk(in_the_way / "cache.sqlite", on_rules=heard):
        assert heard.rules == [Rule(Kind.TAG, "a", 5)]


@pytest.fixture
def file(path: Path) -> DiskFile:
    return DiskFile.open(path)


def held(file: DiskFile) -> list[Rule]:
    return disk_rules.load(file)[0]


def test_the_highest_stamp_of_a_rule_counts(file: DiskFile) -> None:
    for stamp in (5, 9, 7):
        disk_rules.keep(file, [Rule(Kind.TAG, "a", stamp)])
    assert held(file) == [Rule(Kind.TAG, "a", 9)]
    file.close()


def test_a_rule_for_everything_takes_the_earlier_ones_with_it(file: DiskFile) -> None:
    disk_rules.keep(file, [Rule(Kind.TAG, "a", 5), Rule(Kind.TAG, "b", 15), Rule(Kind.ALL, "", 10)])
    assert held(file) == [Rule(Kind.TAG, "b", 15), Rule(Kind.ALL, "", 10)]
    file.close()


def test_too_many_become_one_that_forgets_too_much_never_too_little(file: DiskFile) -> None:
    disk_rules.keep(file, [Rule(Kind.TAG, str(number), number) for number in range(1, 4098)])
    rules = held(file)
    covering = next(rule for rule in rules if rule.kind is Kind.ALL)
    assert {rule.stamp for rule in rules if rule.kind is Kind.TAG} == {*range(covering.stamp + 1, 4098)}
    assert len(rules) < 2100
    file.close()


def test_a_rule_that_is_not_understood_covers_everything(file: DiskFile, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO rules (kind, value, stamp) VALUES ('later', 'x', 7)")
    assert held(file) == [Rule(Kind.ALL, "", 7)]
    file.close()
