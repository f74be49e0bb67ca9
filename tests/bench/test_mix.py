"""The mixture of calls is what it claims to be."""

import itertools
from collections import Counter

import pytest

from bench.failures import BenchFailed
from bench.sections.growth import Labelled
from bench.sections.mix import MixedRequests, found_shares, mixed_numbers
from bench.work import order_of


def test_half_repeat_a_tenth_is_asked_twice_and_the_rest_is_new() -> None:
    numbers = list(itertools.islice(mixed_numbers(itertools.count(1)), 10_000))
    times = Counter(numbers)
    assert sum(count for number, count in times.items() if number <= 100) == 5_000
    assert sum(1 for count in times.values() if count == 2) == 1_000
    assert sum(1 for count in times.values() if count == 1) == 3_000


def test_calls_that_are_asked_twice_come_one_after_the_other_and_take_a_while() -> None:
    numbers = list(itertools.islice(mixed_numbers(itertools.count(1)), 1_000))
    requests = MixedRequests()
    twins = [first for first, second in itertools.pairwise(numbers) if first == second]
    assert len(twins) == 100
    assert {order_of(requests.make(number)).delay_ms for number in twins} == {50}
    assert {order_of(requests.make(number)).delay_ms for number in numbers if number not in twins} == {0}


def test_shares_are_those_of_the_calls_between_two_looks() -> None:
    shares = found_shares({"hit": 100, "miss": 7}, {"hit": 105, "miss": 11, "collapsed": 1})
    assert shares == {"hit": 0.5, "miss": 0.4, "collapsed": 0.1}
    with pytest.raises(BenchFailed, match="no call"):
        found_shares({"hit": 1}, {"hit": 1})


def test_labels_take_turns_in_a_field_of_their_own() -> None:
    requests = Labelled(2)
    heads = [requests.make(7).split(b"\r\n")[:2] for _ in range(3)]
    assert [head[0] for head in heads] == [b"POST /v1/chat/completions HTTP/1.1"] * 3
    assert [head[1] for head in heads] == [
        b"x-skinflint-label-app: label-000000",
        b"x-skinflint-label-app: label-000001",
        b"x-skinflint-label-app: label-000000",
    ]
