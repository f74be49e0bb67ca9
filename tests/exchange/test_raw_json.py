"""Values are found where a parser finds them, and their bytes are left as they are."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange.raw_json import items, members, replaced

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(
    document=st.dictionaries(st.text(max_size=5), values, max_size=5),
    indent=st.none() | st.integers(0, 2),
    is_ascii=st.booleans(),
)
def test_members_are_where_a_parser_finds_them(document: dict[str, object], indent: int | None, is_ascii: bool) -> None:
    raw = json.dumps(document, indent=indent, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        return  # lone surrogates: no provider takes them
    found = members(b" \n" + raw)
    assert {name: json.loads(at.of(b" \n" + raw)) for name, at in found.items()} == document
    assert list(found) == list(document)


@given(array=st.lists(values, max_size=6), indent=st.none() | st.integers(0, 2))
def test_items_are_where_a_parser_finds_them(array: list[object], indent: int | None) -> None:
    raw = b"xx" + json.dumps(array, indent=indent).encode()
    assert [json.loads(at.of(raw)) for at in items(raw, 2)] == array


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"null", b"{", b'{"a"}', b'{"a":}', b'{"a":1', b'{"a":1 "b":2}', b'{"a":[1,{}', b'{a:1}', b'{"a":"x',
     b'{"a":1,}', b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b'{"a":[[1]'],
)  # fmt: skip
def test_what_is_no_object_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError):
        members(raw)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[", b"[1", b"[1,]", b"[1 2]", b"[,1]", b'["a', b"[[1], [2}"])
def test_what_is_no_array_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError):
        items(raw)


def test_numbers_stay_as_they_were_written() -> None:
    raw = b'{"a": [0.10, 1E+2 , -0], "b":12345678901234567890123}'
    found = members(raw)
    assert (found["a"].of(raw), found["b"].of(raw)) == (b"[0.10, 1E+2 , -0]", b"12345678901234567890123")
    assert replaced(raw, [(found["a"], b"1"), (found["b"], b"2")]) == b'{"a": 1, "b":2}'
    assert replaced(raw, []) == raw
