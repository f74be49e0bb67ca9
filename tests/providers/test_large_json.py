"""Answers too large to keep."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.providers.large_json import EDGE_BYTES, LargeJson

PADDING = [1.5] * EDGE_BYTES


def fed(raw: bytes, size: int) -> LargeJson:
    reader = LargeJson()
    for start in range(0, len(raw), size):
        reader.feed(raw[start : start + size])
    return reader


JSON = st.recursive(
    st.none() | st.text('"\\{}[]a\n') | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('"\\{}'), inner, max_size=4),
    max_leaves=10,
)


@settings(deadline=None)  # a loaded machine is no failure
@given(st.dictionaries(st.text('"\\}'), JSON, max_size=4), st.integers(1, 9), st.data())
def test_it_is_whole_at_its_last_byte_and_not_before(document: object, size: int, data: st.DataObject) -> None:
    raw = json.dumps(document).encode()
    assert fed(raw, size).is_whole()
    assert fed(raw + b" \n", size).is_whole()
    cut = data.draw(st.integers(0, len(raw) - 1))
    assert not fed(raw[:cut], size).is_whole()


@pytest.mark.parametrize("size", [1, 777, 1 << 30])
def test_usage_is_found_behind_megabytes(size: int) -> None:
    document = {"object": "list", "data": PADDING[:20_000], "model": "m", "usage": {"prompt_tokens": 9}}
    reader = fed(json.dumps(document).encode(), size)
    assert reader.edges(b"usage") == {"model": "m", "usage": {"prompt_tokens": 9}}


def test_the_head_names_the_model_when_the_tail_does_not() -> None:
    document = {"id": "r1", "model": "m", "data": PADDING, "usage": {"total_tokens": 9}}
    reader = fed(json.dumps(document).encode(), 1000)
    assert reader.edges(b"usage") == {"id": "r1", "model": "m", "usage": {"total_tokens": 9}}


@pytest.mark.parametrize("end", [b'{"usage":{"prompt_tokens":', b'{"usage":', b'{"usage"', b'{"a":1}'])
def test_without_a_readable_usage_there_is_none(end: bytes) -> None:
    assert fed(end, 100).edges(b"usage") is None


def test_only_the_edges_are_kept() -> None:
    reader = fed(b'{"a":"' + b"x" * 5_000_000 + b'"}', 65_536)
    held = sum(len(value) for value in vars(reader).values() if isinstance(value, bytes))
    assert held <= 2 * EDGE_BYTES + 1
