"""Entries as bytes: they come back exactly, under their own key; everything else is a miss."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange.usage import Usage
from proxy.stores.base import Entry
from proxy.stores.envelope import VERSION, opened, seal

KEY = b"k" * 32
ENTRY = Entry(
    status=200,
    headers=[(b"content-type", b"application/json"), (b"x-bytes", bytes(range(1, 256)))],
    body=bytes(range(256)),
    packed=True,
    stored_at=1_700_000_000.123456,
    ttl_s=60.5,
    provider="openai",
    operation="chat",
    model="modèle",
    usage=Usage(input_tokens=3, output_tokens=4, web_searches=1, model="m", response_id="r", estimated=True),
    cost_nanousd=12_345,
    epoch=1_700_000_000_000_001,
    took_ms=812,
    namespace="default",
    tags=("a", "é"),
    labels={"app": "judge"},
    credential="0123456789ab",
    sensitive=True,
)

field_bytes = st.binary(max_size=20).map(lambda value: value.replace(b"\0", b"0"))
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
counts = st.integers(0, 2**53)
usages = st.builds(
    Usage,
    **{each.name: counts for each in fields(Usage) if each.type is int or each.type == "int"},
    model=words,
    service_tier=words,
    response_id=words,
    estimated=st.booleans(),
)
entries = st.builds(
    Entry,
    status=st.integers(100, 599),
    headers=st.lists(st.tuples(field_bytes, field_bytes), max_size=5),
    body=st.binary(max_size=200),
    packed=st.booleans(),
    stored_at=st.floats(0, 1e11),
    ttl_s=st.floats(0, 1e9),
    provider=words,
    operation=words,
    model=words,
    usage=st.none() | usages,
    cost_nanousd=st.none() | st.integers(0, 2**62),
)


@given(entry=entries, key=st.binary(min_size=1, max_size=64))
def test_what_was_sealed_comes_back_as_it_was(entry: Entry, key: bytes) -> None:
    assert opened(seal(entry, key), key) == entry


def test_it_opens_under_its_own_key_alone() -> None:
    assert opened(seal(ENTRY, KEY), b"j" * 32) is None


def test_a_cut_envelope_is_a_miss_wherever_it_was_cut() -> None:
    sealed = seal(ENTRY, KEY)
    assert [opened(sealed[:length], KEY) for length in range(len(sealed))] == [None] * len(sealed)
    assert opened(sealed + b"\0", KEY) is None


@given(at=st.integers(0, len(seal(ENTRY, KEY)) - 1), bit=st.integers(0, 7))
def test_a_changed_bit_is_a_miss_wherever_it_is(at: int, bit: int) -> None:
    sealed = bytearray(seal(ENTRY, KEY))
    sealed[at] ^= 1 << bit
    assert opened(bytes(sealed), KEY) is None


@given(garbage=st.binary(max_size=100), version=st.integers(0, 255))
def test_what_nobody_sealed_is_a_miss(garbage: bytes, version: int) -> None:
    assert opened(garbage, KEY) is None
    assert opened(bytes([version]) + garbage, KEY) is None


def test_another_version_is_a_miss() -> None:
    sealed = bytearray(seal(ENTRY, KEY))
    sealed[0] = VERSION + 1
    assert opened(bytes(sealed), KEY) is None


@pytest.mark.parametrize(
    "entry",
    [
        replace(ENTRY, headers=[(b"a", b"1\x002")]),
        replace(ENTRY, headers=[(b"a\0", b"1")]),
        replace(ENTRY, model="\ud800"),
        replace(ENTRY, cost_nanousd=2**70),
        replace(ENTRY, status=-1),
    ],
    ids=["value", "name", "surrogate", "number", "status"],
)
def test_what_cannot_be_written_is_refused(entry: Entry) -> None:
    with pytest.raises(ValueError):
        seal(entry, KEY)


def test_a_change_of_what_is_kept_is_a_new_version() -> None:
    # When this fails: raise VERSION, and say here what that version holds.
    assert VERSION == 2
    assert [each.name for each in fields(Entry)] == [
        "status", "headers", "body", "packed", "stored_at", "ttl_s", "provider", "operation", "model", "usage",
        "cost_nanousd", "epoch", "took_ms", "namespace", "tags", "labels", "credential", "sensitive",
    ]  # fmt: skip
    assert [each.name for each in fields(Usage)] == [
        "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
        "reasoning_tokens", "input_audio_tokens", "output_audio_tokens", "web_searches", "model", "service_tier",
        "response_id", "estimated",
    ]  # fmt: skip
