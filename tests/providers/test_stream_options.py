"""Asking a stream for usage changes one member and nothing else."""

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.providers.fields import child
from proxy.providers.stream_options import ask, is_added_usage, reports_usage, value_span

ASKED = {"include_usage": True}


def asked(raw: bytes) -> bytes | None:
    return ask(raw, orjson.loads(raw))


def test_the_member_is_added_in_front_and_every_other_byte_stays() -> None:
    raw = b' \n{ "model" : "m",\t"stream":true }\n'
    assert asked(raw) == b' \n{"stream_options":{"include_usage":true}, "model" : "m",\t"stream":true }\n'


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"{}", b'{"stream_options":{"include_usage":true}}'),
        (b'{"stream_options":null}', b'{"stream_options":{"include_usage":true}}'),
        (b'{"stream_options": null , "n":1}', b'{"stream_options":{"include_usage":true}, "n":1}'),
        (b'{"stream_options":{}}', b'{"stream_options":{"include_usage":true}}'),
        (b'{"stream_options": { } }', b'{"stream_options": {"include_usage":true } }'),
        (
            b'{"a":[1,{"stream_options":null}],"stream_options":{ "x" : [1, 2] }}',
            b'{"a":[1,{"stream_options":null}],"stream_options":{"include_usage":true, "x" : [1, 2] }}',
        ),
        (
            b'{"stream_options":{"include_usage":false,"x":1}}',
            b'{"stream_options":{"include_usage":true,"x":1}}',
        ),
        (b'{"stream_options":{"x":1,"include_usage": null}}', b'{"stream_options":{"x":1,"include_usage":true}}'),
        (b'{"stream\\u005foptions":null}', b'{"stream\\u005foptions":{"include_usage":true}}'),
        (
            b'{"p":"\\\\\\"stream_options\\":{}","stream_options":{}}',
            b'{"p":"\\\\\\"stream_options\\":{}","stream_options":{"include_usage":true}}',
        ),
        (
            b'{"stream_options":null,"stream_options":{"x":1}}',
            b'{"stream_options":null,"stream_options":{"include_usage":true,"x":1}}',
        ),
        (b'{"x":"stream_options"}', b'{"stream_options":{"include_usage":true},"x":"stream_options"}'),
    ],
)
def test_the_right_member_is_found(raw: bytes, expected: bytes) -> None:
    assert asked(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        b'{"stream_options":{"include_usage":true}}',
        b'{"stream_options":{"include_usage" : true,"x":1}}',
        b'{"stream_options":"include_usage"}',
        b'{"stream_options":[]}',
        b'{"stream_options":1}',
    ],
)
def test_a_request_that_asks_or_is_wrong_anyway_is_left_alone(raw: bytes) -> None:
    assert asked(raw) is None


NAMES = st.sampled_from(["stream_options", "include_usage", '"stream_options":{', "\\", "é", "usage", "{", "a"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(), inner, max_size=4),
    max_leaves=12,
)
BODIES = st.dictionaries(NAMES | st.text(), VALUES, max_size=6)
OPTIONS = st.none() | st.dictionaries(NAMES, VALUES, max_size=4)


def encode(body: object, *, ascii_only: bool, indent: int | None) -> bytes:
    return json.dumps(body, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "ignore")


def is_encodable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@settings(deadline=None)  # a loaded machine is no failure
@given(
    BODIES.filter(is_encodable),
    OPTIONS.filter(is_encodable),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, 0, 2]),
)
def test_what_is_parsed_differs_in_that_member_alone(
    body: dict[str, object], options: dict[str, object] | None, is_given: bool, ascii_only: bool, indent: int | None
) -> None:
    body.pop("stream_options", None)
    if is_given:
        body["stream_options"] = options
    raw = encode(body, ascii_only=ascii_only, indent=indent)
    body = orjson.loads(raw)
    given_options = child(body, "stream_options")
    changed = ask(raw, body)
    if given_options.get("include_usage") is True:
        assert changed is None
        return
    assert changed is not None
    assert orjson.loads(changed) == body | {"stream_options": given_options | ASKED}


@settings(deadline=None)  # a loaded machine is no failure
@given(BODIES.filter(is_encodable), st.sampled_from([None, 0, 2]))
def test_every_member_is_found_where_it_stands(body: dict[str, object], indent: int | None) -> None:
    raw = encode(body, ascii_only=True, indent=indent)
    for name, value in body.items():
        span = value_span(raw, name)
        assert span is not None
        assert orjson.loads(raw[span[0] : span[1]]) == value
    assert value_span(raw, "never such a name") is None


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"id":"x","choices":[],"usage":{"prompt_tokens":1}}',
        b'data: {"choices": [], "usage": {"prompt_tokens": 1}}\n',
        b'event: message\r\ndata: {"usage":{"prompt_tokens":1},"choices":null}',
        b'data: {"usage":{"prompt_tokens":1}}',
    ],
)
def test_the_added_event_is_the_one_without_choices(event: bytes) -> None:
    assert is_added_usage(event)


@pytest.mark.parametrize(
    "event",
    [
        b"data: [DONE]",
        b": keep-alive",
        b"",
        b'data: {"choices":[],"usage":null}',
        b'data: {"choices":[],"prompt_filter_results":[{}]}',
        b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}',
        b'data: {"choices":[{"delta":{"content":"usage"}}]}',
        b'data: {"choices":[],"usage":{"prompt_tokens":1}',
    ],
)
def test_no_other_event_is_taken_for_it(event: bytes) -> None:
    assert not is_added_usage(event)


@pytest.mark.parametrize("null", [b":null", b": null", b" : null"])
def test_a_null_usage_is_told_by_its_bytes(null: bytes) -> None:
    assert not reports_usage(b'data: {"choices":[{}],"usage"' + null + b"}")
    assert reports_usage(b'data: {"x_groq":{"usage":{}},"usage"' + null + b"}")
