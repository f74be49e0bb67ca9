"""What a rule of invalidation covers, and what it leaves alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.stores.base import Entry
from proxy.stores.rules import Kind, Rule, Rules

KEY = bytes(range(32))
ENTRY = Entry(
    status=200,
    headers=[],
    body=b"",
    packed=False,
    stored_at=1_000.0,
    ttl_s=60.0,
    provider="openai",
    operation="chat",
    model="gpt-4o-mini",
    epoch=5,
    namespace="team/search",
    tags=("nightly", "eval"),
    labels={"app": "judge"},
)


def rules(*held: Rule) -> Rules:
    made = Rules()
    for rule in held:
        made.add(rule)
    return made


COVERING = [
    (Kind.ALL, ""),
    (Kind.FINGERPRINT, KEY.hex()),
    (Kind.FINGERPRINT, KEY.hex()[:8]),
    (Kind.NAMESPACE, "team/search"),
    (Kind.NAMESPACE, "team/*"),
    (Kind.MODEL, "gpt-4o-mini"),
    (Kind.MODEL, "gpt-4*"),
    (Kind.PROVIDER, "openai"),
    (Kind.TAG, "eval"),
    (Kind.LABEL, "app=judge"),
    (Kind.OLDER_THAN, "1000.5"),
]
MISSING = [
    (Kind.FINGERPRINT, "f" * 64),
    (Kind.FINGERPRINT, "f" * 8),
    (Kind.NAMESPACE, "team"),
    (Kind.MODEL, "gpt-4o"),
    (Kind.PROVIDER, "open"),
    (Kind.TAG, "nightl"),
    (Kind.LABEL, "app=judg"),
    (Kind.LABEL, "ap=judge"),
    (Kind.OLDER_THAN, "1000"),
]


@pytest.mark.parametrize(("kind", "value"), COVERING)
def test_a_rule_covers_what_it_names(kind: Kind, value: str) -> None:
    assert rules(Rule(kind, value, 6)).is_dead(KEY, ENTRY)


@pytest.mark.parametrize(("kind", "value"), MISSING)
def test_a_rule_leaves_everything_else_alone(kind: Kind, value: str) -> None:
    assert not rules(Rule(kind, value, 6)).is_dead(KEY, ENTRY)


@pytest.mark.parametrize(("kind", "value"), COVERING)
def test_an_entry_whose_call_began_after_the_rule_lives(kind: Kind, value: str) -> None:
    held = rules(Rule(kind, value, 6), Rule(Kind.TAG, "unrelated", 9))
    assert not held.is_dead(KEY, replace(ENTRY, epoch=6))


def test_the_same_rule_again_covers_what_came_meanwhile() -> None:
    held = rules(Rule(Kind.TAG, "eval", 6))
    later = replace(ENTRY, epoch=held.stamp)
    assert not held.is_dead(KEY, later)
    held.add(Rule(Kind.TAG, "eval", held.next_stamp(1_000.0)))
    assert held.is_dead(KEY, later)
    assert len(held) == 1


def test_stamps_grow_though_the_clock_stands() -> None:
    held = rules()
    stamps = []
    for _ in range(5):
        held.add(Rule(Kind.TAG, "eval", held.next_stamp(1_000.0)))
        stamps.append(held.stamp)
    assert stamps == sorted(set(stamps))


def test_a_rule_for_everything_takes_the_place_of_all_before_it() -> None:
    held = rules(*[Rule(Kind.TAG, str(number), number + 1) for number in range(50)], Rule(Kind.MODEL, "m*", 51))
    held.add(Rule(Kind.ALL, "", 60))
    assert list(held) == [Rule(Kind.ALL, "", 60)]


@pytest.mark.parametrize("kind", [Kind.TAG, Kind.MODEL])
def test_what_is_held_is_bounded_and_forgets_too_much_rather_than_too_little(kind: Kind) -> None:
    held = rules()
    for number in range(10_000):
        held.add(Rule(kind, f"name-{number}", number + 1))
    assert len(held) <= 4_097
    first = replace(ENTRY, epoch=0, model="name-0", tags=("name-0",))
    assert held.is_dead(KEY, first)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.ALL, "x"),
        (Kind.FINGERPRINT, "abc"),
        (Kind.FINGERPRINT, "G" * 8),
        (Kind.LABEL, "app"),
        (Kind.LABEL, "=app"),
        (Kind.TAG, ""),
        (Kind.MODEL, "m" * 257),
        (Kind.OLDER_THAN, "yesterday"),
    ],
)
def test_a_value_that_a_kind_cannot_have_is_refused_by_name(kind: Kind, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{kind}: must be "):
        Rule(kind, value, 1)


values = st.sampled_from([(kind, value) for kind, value in (*COVERING, *MISSING)])


@given(st.lists(st.tuples(values, st.integers(1, 20)), max_size=12), st.integers(0, 20))
def test_the_order_in_which_rules_are_heard_changes_nothing(
    heard: list[tuple[tuple[Kind, str], int]], epoch: int
) -> None:
    made = [Rule(kind, value, stamp) for (kind, value), stamp in heard]
    entry = replace(ENTRY, epoch=epoch)
    forwards, backwards = rules(*made), rules(*reversed(made))
    assert forwards.is_dead(KEY, entry) == backwards.is_dead(KEY, entry)
    assert forwards.stamp == backwards.stamp
    assert forwards.is_dead(KEY, entry) == any(rules(rule).is_dead(KEY, entry) for rule in made)


@given(st.lists(st.tuples(values, st.integers(1, 20)), max_size=12), st.integers(0, 20))
def test_what_is_held_says_the_same_when_it_is_read_back(heard: list[tuple[tuple[Kind, str], int]], epoch: int) -> None:
    held = rules(*[Rule(kind, value, stamp) for (kind, value), stamp in heard])
    again = rules(*held)
    assert again.stamp == held.stamp
    assert again.is_dead(KEY, replace(ENTRY, epoch=epoch)) == held.is_dead(KEY, replace(ENTRY, epoch=epoch))
