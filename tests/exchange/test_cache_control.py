"""The request's Cache-Control, and what it makes of an answer's age: a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange.cache_control import NONE, Directives, Use, judge, parse

YEAR = 31_536_000.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", NONE),
        (b"no-store", Directives(no_store=True)),
        (b"No-Cache", Directives(no_cache=True)),
        (b"only-if-cached", Directives(only_if_cached=True)),
        (b"max-age=60", Directives(max_age=60)),
        (b'max-age="60"', Directives(max_age=60)),
        (b"max-age=0", Directives(max_age=0)),
        (b"max-age=-1", NONE),
        (b"max-age=1.5", NONE),
        (b"max-age", NONE),
        (b"max-age=99999999999999999999", Directives(max_age=YEAR)),
        (b"max-stale", Directives(max_stale=YEAR)),
        (b"max-stale=5", Directives(max_stale=5)),
        (b"max-stale=x", NONE),
        (b"min-fresh=7", Directives(min_fresh=7)),
        (b"no-store,max-age=1 , min-fresh=2", Directives(no_store=True, max_age=1, min_fresh=2)),
        (b"no-storefront, x-no-store=1", NONE),
        (b"immutable, stale-while-revalidate=30", NONE),
        (b"stale-if-error=30", Directives(stale_if_error=30)),
        (b"max-age=\xb2", NONE),
    ],
)
def test_parse(value: bytes, expected: Directives) -> None:
    assert parse([(b"cache-control", value)]) == expected


def test_repeated_fields_are_one_list() -> None:
    assert parse([(b"cache-control", b"no-store"), (b"cache-control", b"max-age=3")]) == Directives(
        no_store=True, max_age=3
    )


def test_the_older_pragma_counts_only_alone() -> None:
    assert parse([(b"pragma", b"No-Cache")]) == Directives(no_cache=True)
    assert parse([(b"pragma", b"x")]) == NONE
    assert parse([(b"pragma", b"no-cache"), (b"cache-control", b"max-age=1")]) == Directives(max_age=1)


@given(st.binary(max_size=60))
def test_parse_never_raises(value: bytes) -> None:
    assert isinstance(parse([(b"cache-control", value)]), Directives)


@pytest.mark.parametrize(
    ("directives", "age", "ttl", "use"),
    [
        (NONE, 0, 60, Use.FRESH),
        (NONE, 60, 60, Use.FRESH),
        (NONE, 60.1, 60, Use.NO),
        (Directives(max_age=10), 10, 60, Use.FRESH),
        (Directives(max_age=10), 10.1, 60, Use.NO),
        (Directives(max_age=0), 0.1, 60, Use.NO),
        (Directives(max_age=100), 61, 60, Use.NO),
        (Directives(min_fresh=20), 40, 60, Use.FRESH),
        (Directives(min_fresh=20), 41, 60, Use.NO),
        (Directives(max_stale=5), 65, 60, Use.STALE),
        (Directives(max_stale=5), 65.1, 60, Use.NO),
        (Directives(max_stale=5), 60, 60, Use.FRESH),
        (Directives(max_stale=YEAR, max_age=10), 65, 60, Use.NO),
        (Directives(max_stale=YEAR, min_fresh=1), 65, 60, Use.NO),
    ],
)
def test_judge(directives: Directives, age: float, ttl: float, use: Use) -> None:
    assert judge(directives, age, ttl) is use
