"""Lines of NDJSON: cut apart the same way however the bytes come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.ndjson import LineReader
from tests.wire.feeding import bytewise, cut

RAW = b'{"a":1}\n\n{"b":2}\r\n\r\n{"c":3}\n'
LINES = [b'{"a":1}', b'{"b":2}', b'{"c":3}']


@pytest.mark.parametrize("trailing", [b"", b'{"d":4}'])
def test_lines_of_a_whole_stream(trailing: bytes) -> None:
    reader = LineReader()
    assert reader.feed(RAW + trailing) == LINES
    assert reader.rest() == trailing


def test_lines_byte_by_byte() -> None:
    reader = LineReader()
    assert [line for piece in bytewise(RAW) for line in reader.feed(piece)] == LINES


@given(st.lists(st.sampled_from([b"\n", b"\r\n", b"a", b"bc"])).map(b"".join), st.lists(st.integers(0, 60)))
def test_any_split_gives_the_same_lines(raw: bytes, positions: list[int]) -> None:
    reader = LineReader()
    assert [line for piece in cut(raw, positions) for line in reader.feed(piece)] == LineReader().feed(raw)


@given(st.lists(st.binary(max_size=30)))
def test_random_bytes_never_raise(pieces: list[bytes]) -> None:
    reader = LineReader(max_line_bytes=20)
    for piece in pieces:
        assert all(0 < len(line) <= 20 for line in reader.feed(piece))


@given(st.lists(st.text(alphabet="abc{}", min_size=1)))
def test_lines_round_trip(lines: list[str]) -> None:
    assert LineReader().feed("".join(line + "\n" for line in lines).encode()) == [line.encode() for line in lines]


@pytest.mark.parametrize("step", [1, 4, 1000])
@pytest.mark.parametrize("end", [b"", b"\nc\n"])
def test_line_beyond_the_bound_is_given_up(step: int, end: bytes) -> None:
    raw = b"a\n" + b"b" * 11 + end
    reader = LineReader(max_line_bytes=10)
    pieces = [raw[start : start + step] for start in range(0, len(raw), step)]
    assert [line for piece in pieces for line in reader.feed(piece)] == [b"a"]
    assert reader.overflowed
    assert reader.feed(b"d\n") == []
    assert reader.rest() == b""


def test_line_of_exactly_the_bound_is_given() -> None:
    reader = LineReader(max_line_bytes=10)
    assert reader.feed(b"b" * 10 + b"\n") == [b"b" * 10]
