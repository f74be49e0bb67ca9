"""What counts as the right answer."""

import gzip
import json

import pytest

from bench.expected import Expected
from bench.work import ANSWER_BYTES, answer


def rewritten(number: int, **changes: object) -> bytes:
    """The same answer as another program would write it."""
    return json.dumps({**json.loads(answer(number)), **changes}, indent=1).encode()


@pytest.mark.parametrize("is_faithful", [True, False])
def test_providers_own_bytes_are_right(is_faithful: bool) -> None:
    expected = Expected(ANSWER_BYTES, is_faithful=is_faithful)
    assert [expected.is_right(number, answer(number)) for number in (1, 1, 2)] == [True, True, True]


def test_answer_to_another_call_is_wrong() -> None:
    assert not Expected(ANSWER_BYTES, is_faithful=True).is_right(1, answer(2))


def test_rewritten_answer_is_wrong_where_bytes_count() -> None:
    assert not Expected(ANSWER_BYTES, is_faithful=True).is_right(1, rewritten(1))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_rewritten_answer_is_right_where_meaning_counts(pack: type[bytes]) -> None:
    assert Expected(ANSWER_BYTES, is_faithful=False).is_right(1, pack(rewritten(1, usage=None)))


@pytest.mark.parametrize(
    "body",
    [
        rewritten(2),
        rewritten(1, choices=[{"message": {"content": "something else"}}]),
        rewritten(1, choices=[]),
        b"{}",
        b"[]",
        b"no JSON",
        b"",
        b"\x1f\x8bno gzip",
        gzip.compress(rewritten(1))[:-20],
    ],
)
def test_other_meaning_is_wrong(body: bytes) -> None:
    assert not Expected(ANSWER_BYTES, is_faithful=False).is_right(1, body)
