"""Rows are found by what must be equal, and there are never more than allowed."""

from array import array

import pytest

from proxy.semantic.index import MOST_ROWS_ALIKE, Index, Row, Vector, cosine


def row(number: int, *, characters: int = 10) -> Row:
    return Row(number.to_bytes(32), characters, array("f", [1.0, float(number)]))


def test_a_row_is_found_under_its_key_only() -> None:
    index = Index()
    index.add(b"scope", b"key", row(1))
    assert index.like(b"key") == (row(1),)
    assert index.like(b"other") == ()
    index.forget(row(1).fingerprint)
    index.forget(row(1).fingerprint)
    assert (index.like(b"key"), len(index)) == ((), 0)


def test_a_call_has_one_row() -> None:
    index = Index()
    index.add(b"scope", b"key", row(1))
    index.add(b"scope", b"other", row(1, characters=5))
    assert (index.like(b"key"), index.like(b"other"), len(index)) == ((), (row(1, characters=5),), 1)


def test_the_oldest_goes_first_of_all_of_a_scope_and_of_a_key() -> None:
    index = Index(most=4, most_of_a_scope=2)
    for number in range(3):
        index.add(b"one", b"%d" % number, row(number))
    assert index.like(b"0") == ()
    for number in range(3, 6):
        index.add(b"%d" % number, b"%d" % number, row(number))
    assert (len(index), index.like(b"1"), index.like(b"2")) == (4, (), (row(2),))
    alike = Index()
    for number in range(MOST_ROWS_ALIKE + 1):
        alike.add(b"one", b"key", row(number))
    assert alike.like(b"key") == tuple(row(number) for number in range(1, MOST_ROWS_ALIKE + 1))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [([1, 0], [2, 0], 1.0), ([1, 0], [0, 1], 0.0), ([1, 0], [-1, 0], -1.0), ([0, 0], [1, 0], 0.0), ([1], [1, 0], 0.0)],
)
def test_cosine(one: list[float], other: list[float], expected: float) -> None:
    first: Vector = array("f", one)
    assert cosine(first, array("f", other)) == pytest.approx(expected)


def test_vectors_are_not_shown() -> None:
    assert "array" not in repr(row(1))
