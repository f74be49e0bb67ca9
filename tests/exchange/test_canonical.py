"""What makes two requests the same. Order of keys and white space never matter; whatever else differs, differs."""

import json
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.exchange.canonical import (
    canonical_body,
    canonical_headers,
    canonical_json,
    canonical_query,
    length_prefixed,
    other_credentials,
)

type Value = bool | int | float | str | list["Value"] | dict[str, "Value"] | None

integers = st.one_of(st.integers(-(10**6), 10**6), st.integers(-(2**70), 2**70), st.integers(10**18, 10**40))
scalars = st.one_of(
    st.none(), st.booleans(), integers, st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=12)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=6), values, min_size=1, max_size=5)


def shuffled(value: Value, rng: random.Random) -> Value:
    """The same value, the members of every object in another order."""
    if isinstance(value, list):
        return [shuffled(each, rng) for each in value]
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key], rng) for key in keys}
    return value


def written(value: Value, rng: random.Random) -> bytes:
    """JSON with random white space and random escapes of what is not ASCII."""
    indent = rng.choice([None, 1, 3])
    separators = rng.choice([(",", ":"), (", ", ": "), (" ,\t", "\n: ")])
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=rng.random() < 0.5)
    return (rng.choice(["", " ", "\n\t"]) + text + rng.choice(["", " ", "\r\n"])).encode("utf-8", "surrogatepass")


def same(a: Value, b: Value) -> bool:
    """Equal as JSON: true is not 1, and 1 is not 1.0."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and repr(a) == repr(b)


def has_surrogate(value: Value) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in json.dumps(value, ensure_ascii=False))


@given(objects, st.randoms(use_true_random=False))
def test_order_of_keys_white_space_and_escapes_never_matter(value: dict[str, Value], rng: random.Random) -> None:
    assume(not has_surrogate(value))
    one, other = written(value, rng), written(shuffled(value, rng), rng)
    assert canonical_json(one) == canonical_json(other)


@given(values, values, st.randoms(use_true_random=False))
def test_different_values_have_different_forms(one: Value, other: Value, rng: random.Random) -> None:
    assume(not same(one, other))
    assert canonical_json(written(one, rng)) != canonical_json(written(other, rng))


def places(value: Value) -> list[tuple[Value, ...]]:
    """The paths to everything in it."""
    found: list[tuple[Value, ...]] = [()]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        found += [(key, *rest) for rest in places(each)]
    return found


def changed(value: Value, path: tuple[Value, ...], to: Value) -> Value:
    """A copy with something else in one place."""
    if not path:
        return to
    copied = dict(value) if isinstance(value, dict) else list(value)  # type: ignore[arg-type]
    copied[path[0]] = changed(copied[path[0]], path[1:], to)  # type: ignore[index]
    return copied


@given(objects, scalars, st.randoms(use_true_random=False))
def test_any_single_change_changes_the_form(value: dict[str, Value], to: Value, rng: random.Random) -> None:
    other = changed(value, rng.choice(places(value)), to)
    assume(not same(value, other))
    assert canonical_json(written(value, rng)) != canonical_json(written(other, rng))


@given(st.binary(max_size=80))
def test_what_is_no_json_counts_byte_for_byte_or_is_json_after_all(raw: bytes) -> None:
    canonical = canonical_json(raw)
    if canonical != raw:
        assert json.loads(canonical) == json.loads(raw)


@given(objects, st.randoms(use_true_random=False))
def test_the_form_is_its_own_form(value: dict[str, Value], rng: random.Random) -> None:
    canonical = canonical_json(written(value, rng))
    assert canonical_json(canonical) == canonical


def test_a_small_number_has_one_form_however_it_is_written() -> None:
    forms = {canonical_json(b'{"a":%s}' % form) for form in (b"2.109204431505628e-05", b"0.00002109204431505628")}
    assert len(forms) == 1


NUMBERS = [b"1", b"1.0", b'"1"', b"true", b"-1", b"0.1", b"0.10000000001", b"[1]", b'{"1":1}', b"null", b"10", b"1e1"]


@pytest.mark.parametrize("one", NUMBERS)
def test_kinds_of_numbers_differ(one: bytes) -> None:
    forms = {canonical_json(b'{"a":%s}' % other) for other in NUMBERS if other != one}
    assert canonical_json(b'{"a":%s}' % one) not in forms


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"18446744073709551616", b"18446744073709551617"),
        (b"12345678901234567890123", b"12345678901234567890124"),
        (b"-9223372036854775809", b"-9223372036854775810"),
        (b"9007199254740993", b"9007199254740992"),
        (b"1" + b"0" * 5000, b"1" + b"0" * 4999 + b"1"),
        (b"1e400", b"1e500"),
        (b"1e400,1111111111111111111", b"1e500,1111111111111111111"),
        (b"NaN,1111111111111111111", b"Infinity,1111111111111111111"),
    ],
)
def test_numbers_beyond_what_a_parser_holds_are_not_confused(one: bytes, other: bytes) -> None:
    assert canonical_json(b"[%s]" % one) != canonical_json(b"[%s]" % other)
    assert canonical_json(b"[%s]" % one) == canonical_json(b"[%s]" % one)


def test_white_space_around_big_integers_does_not_matter() -> None:
    assert canonical_json(b'{ "b": 18446744073709551617,"a":1 }') == canonical_json(b'{"a":1,"b":18446744073709551617}')


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"a":0,"a":1e6}',  # written in full, the longer number hides the missing member
        b'{"a":{"b":1,"b":2}}',
        b'[{"a":1,"\\u0061":2}]',
        b'{"a":1,"a":1,"seed":12345678901234567890}',
    ],
)
def test_repeated_members_count_byte_for_byte(raw: bytes) -> None:
    assert canonical_json(raw) == raw


@pytest.mark.parametrize("raw", [b"", b"{", b'{"a":1', b'"\xff"', b"[" * 5000, b'{"a":"\\ud800"}', b"\xff\xfe{}"])
def test_broken_json_is_left_as_it_is(raw: bytes) -> None:
    assert canonical_json(raw) == raw


def test_what_is_known_already_is_not_read_again() -> None:
    raw = b'{"b": 1, "a": 2}'
    assert canonical_json(raw, {"b": 1, "a": 2}) == canonical_json(raw) == b'{"a":2,"b":1}'


@pytest.mark.parametrize(
    "kind",
    [b"application/json", b"Application/JSON; charset=utf-8", b"application/vnd.api+json", b""],
)
def test_json_by_its_type_is_canonical(kind: bytes) -> None:
    assert canonical_body(b'{"b":1, "a":2}', kind) == b'{"a":2,"b":1}'


@pytest.mark.parametrize("kind", [b"text/plain", b"application/octet-stream", b"multipart/form-data"])
def test_any_other_body_counts_as_it_is(kind: bytes) -> None:
    assert canonical_body(b'{"b":1, "a":2}', kind) == b'{"b":1, "a":2}'


def test_a_body_without_a_type_that_is_no_object_counts_as_it_is() -> None:
    assert canonical_body(b" 1", b"") == b" 1"


def multipart(boundary: bytes, *parts: bytes) -> tuple[bytes, bytes]:
    body = b"".join(b"--" + boundary + b"\r\n\r\n" + part + b"\r\n" for part in parts)
    return body + b"--" + boundary + b"--\r\n", b"multipart/form-data; boundary=" + boundary


def test_the_random_boundary_does_not_count() -> None:
    assert canonical_body(*multipart(b"one", b"a", b"b")) == canonical_body(*multipart(b"other", b"a", b"b"))
    body, _ = multipart(b"one", b"a")
    assert canonical_body(body, b'multipart/form-data; boundary="one"') == canonical_body(*multipart(b"x", b"a"))


parts = st.lists(st.binary(max_size=12), min_size=1, max_size=3)
boundaries = st.sampled_from([b"x", b"y", b"boundary", b"xy"])


@given(parts, parts, boundaries, boundaries)
def test_different_parts_differ_whatever_the_boundary(
    one: list[bytes], other: list[bytes], first: bytes, second: bytes
) -> None:
    assume(one != other)
    assume(not any(b"--" + first in part for part in one) and not any(b"--" + second in part for part in other))
    assert canonical_body(*multipart(first, *one)) != canonical_body(*multipart(second, *other))


def test_a_part_that_looks_like_a_boundary_is_not_one() -> None:
    inside = b"a\r\n--boundary\r\n\r\nb"
    assert canonical_body(*multipart(b"real", inside)) != canonical_body(*multipart(b"boundary", b"a", b"b"))


@given(st.lists(st.binary(max_size=4), max_size=5), st.lists(st.binary(max_size=4), max_size=5))
def test_parts_do_not_run_together(one: list[bytes], other: list[bytes]) -> None:
    assert (length_prefixed(one) == length_prefixed(other)) == (one == other)


def form(*fields: tuple[bytes, bytes]) -> list[bytes]:
    return list(canonical_headers(list(fields)))


@pytest.mark.parametrize(
    "name",
    [
        b"user-agent", b"accept-encoding", b"content-length", b"host", b"authorization", b"x-api-key", b"api-key",
        b"x-goog-api-key", b"x-request-id", b"traceparent", b"x-stainless-retry-count", b"x-forwarded-for",
        b"idempotency-key", b"cache-control", b"x-amz-date", b"x-skinflint-label-app", b"date",
    ],
)  # fmt: skip
def test_fields_that_say_who_carries_it_do_not_matter(name: bytes) -> None:
    assert form((name, b"1")) == form((name, b"2")) == form()


@pytest.mark.parametrize(
    "name",
    [
        b"anthropic-beta",
        b"anthropic-version",
        b"openai-organization",
        b"openai-beta",
        b"accept",
        b"x-unknown",
        b"prefer",
    ],
)
def test_fields_that_may_change_the_answer_matter(name: bytes) -> None:
    assert len({tuple(form((name, b"1"))), tuple(form((name, b"2"))), tuple(form())}) == 3


def test_the_order_of_fields_does_not_matter_but_that_of_repeated_ones_does() -> None:
    assert form((b"a", b"1"), (b"b", b"2")) == form((b"b", b"2"), (b"a", b"1"))
    assert form((b"a", b"1"), (b"a", b"2")) != form((b"a", b"2"), (b"a", b"1"))
    assert form((b"a", b"1"), (b"a", b"2")) != form((b"a", b"1, 2"))


def test_a_content_types_parameters_matter_unless_they_mean_nothing() -> None:
    assert form((b"content-type", b"application/json; charset=utf-8")) == form((b"content-type", b"Application/JSON"))
    assert form((b"content-type", b"multipart/form-data; boundary=a")) == form(
        (b"content-type", b'multipart/form-data; boundary="b"')
    )
    assert form((b"content-type", b"text/plain; charset=a")) != form((b"content-type", b"text/plain; charset=b"))


def test_cookies_that_balance_load_do_not_matter_and_others_do() -> None:
    assert form((b"cookie", b"__cf_bm=1; _cfuvid=2")) == form()
    assert form((b"cookie", b"__cf_bm=1; session=a")) == form((b"cookie", b"session=a; __cf_bm=2"))
    assert form((b"cookie", b"session=a")) != form((b"cookie", b"session=b"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ""),
        ("api-version=1", "api-version=1"),
        ("key=secret&alt=sse", "alt=sse"),
        ("alt=sse&access_token=x", "alt=sse"),
        ("X-Amz-Signature=1&X-Amz-Date=2&X-Amz-Credential=3&X-Amz-Security-Token=4&a=b", "a=b"),
        ("Key=1&keys=2", "Key=1&keys=2"),
        ("b=1&a=2", "b=1&a=2"),
    ],
)
def test_a_query_counts_without_credentials(query: str, expected: str) -> None:
    assert canonical_query(query) == expected


V4 = b"AWS4-HMAC-SHA256 Credential=AKIA1/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=ab"


@pytest.mark.parametrize(
    ("field", "known", "counts"),
    [
        ((b"authorization", b"Bearer k"), b"k", False),
        ((b"authorization", b"bearer  k"), b"k", False),
        ((b"authorization", b"k"), b"k", False),
        ((b"authorization", b"Bearer kk"), b"k", True),
        ((b"authorization", V4), b"AKIA1", False),
        ((b"authorization", V4), b"AKIA", True),
        ((b"authorization", b"Bearer k"), b"", True),
        ((b"authorization", b""), b"", False),
        ((b"x-api-key", b"other"), b"k", True),
        ((b"x-other", b"other"), b"k", False),
    ],
)
def test_a_credential_that_the_provider_does_not_read_counts(
    field: tuple[bytes, bytes], known: bytes, counts: bool
) -> None:
    assert bool(list(other_credentials([field], {}, known))) is counts


def test_a_credential_in_the_query_counts_unless_it_is_the_known_one() -> None:
    assert not list(other_credentials([], {"key": "k", "alt": "sse"}, b"k"))
    assert list(other_credentials([], {"key": "k"}, b"other")) == [b"?key:k"]
    assert not list(other_credentials([], {"X-Amz-Credential": "AKIA1/2026/x"}, b"AKIA1"))
