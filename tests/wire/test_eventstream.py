"""AWS event stream messages: all header types, both CRCs, and streams that break."""

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.eventstream import EventMessage, EventStreamReader, encode
from tests.wire.feeding import bytewise, cut

# {":event-type": "chunk"}, payload "{}", put together by hand.
KNOWN = bytes.fromhex("00000026000000143179d1b00b3a6576656e742d747970650700056368756e6b7b7d9bf70107")
FIRST = encode({":message-type": "event", ":event-type": "messageStop"}, b'{"stopReason":"end_turn"}')
SECOND = encode({}, b"")
MESSAGES = [
    EventMessage({":message-type": "event", ":event-type": "messageStop"}, b'{"stopReason":"end_turn"}'),
    EventMessage({}, b""),
]


def message(block: bytes, payload: bytes = b"") -> bytes:
    """A message with this block of headers, sound in all else."""
    lengths = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    head = lengths + struct.pack(">I", crc32(lengths)) + block + payload
    return head + struct.pack(">I", crc32(head))


def header(name: bytes, kind: int, value: bytes) -> bytes:
    return bytes([len(name)]) + name + bytes([kind]) + value


@pytest.mark.parametrize("trailing", [b"", SECOND[:-1]])
def test_messages_of_a_whole_stream(trailing: bytes) -> None:
    reader = EventStreamReader()
    assert reader.feed(FIRST + SECOND + trailing) == MESSAGES
    assert reader.rest() == trailing


def test_messages_byte_by_byte() -> None:
    reader = EventStreamReader()
    assert [found for piece in bytewise(FIRST + SECOND) for found in reader.feed(piece)] == MESSAGES


def test_encoding_follows_the_format() -> None:
    assert encode({":event-type": "chunk"}, b"{}") == KNOWN


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=50), max_size=5), st.binary(max_size=100))
def test_messages_round_trip(headers: dict[str, str], payload: bytes) -> None:
    assert EventStreamReader().feed(encode(headers, payload)) == [EventMessage({**headers}, payload)]


@given(st.lists(st.integers(0, 200), max_size=8))
def test_any_split_gives_the_same_messages(positions: list[int]) -> None:
    reader = EventStreamReader()
    assert [found for piece in cut(FIRST + SECOND, positions) for found in reader.feed(piece)] == MESSAGES


@given(st.lists(st.binary(max_size=40)))
def test_random_bytes_never_raise(pieces: list[bytes]) -> None:
    reader = EventStreamReader()
    for piece in pieces:
        reader.feed(piece)


@given(st.binary(max_size=40))
def test_random_headers_never_raise(block: bytes) -> None:
    reader = EventStreamReader()
    assert len(reader.feed(message(block))) == (0 if reader.broken else 1)


def test_all_header_types() -> None:
    block = b"".join(
        [
            header(b"true", 0, b""),
            header(b"false", 1, b""),
            header(b"byte", 2, b"\xff"),
            header(b"short", 3, b"\x80\x00"),
            header(b"int", 4, b"\x00\x00\x01\x00"),
            header(b"long", 5, b"\xff" * 8),
            header(b"bytes", 6, b"\x00\x02\x00\xff"),
            header(b"string", 7, b"\x00\x03\xe2\x82\xac"),
            header(b"time", 8, b"\x00\x00\x01\x93\x00\x00\x00\x00"),
            header(b"uuid", 9, bytes(range(16))),
        ]
    )
    (found,) = EventStreamReader().feed(message(block, b"payload"))
    assert found.payload == b"payload"
    assert found.headers == {
        "true": True,
        "false": False,
        "byte": -1,
        "short": -32_768,
        "int": 256,
        "long": -1,
        "bytes": b"\x00\xff",
        "string": "\u20ac",
        "time": 0x19300000000,
        "uuid": bytes(range(16)),
    }


def flipped(raw: bytes, position: int) -> bytes:
    changed = bytearray(raw)
    changed[position] ^= 1
    return bytes(changed)


def lengths_of(total: int, headers: int) -> bytes:
    lengths = struct.pack(">II", total, headers)
    return lengths + struct.pack(">I", crc32(lengths))


@pytest.mark.parametrize(
    "raw",
    [
        flipped(FIRST, 0),
        flipped(FIRST, 9),
        flipped(FIRST, 20),
        flipped(FIRST, len(FIRST) - 1),
        lengths_of(15, 0),
        lengths_of(20, 5),
        lengths_of(16 * 1_048_576 + 1, 0),
        message(header(b"x", 10, b"")),
        message(header(b"x", 7, b"\x00\x05abc")),
        message(header(b"x", 7, b"\x00\x01\xff")),
        message(header(b"x", 7, b"\x00")),
        message(header(b"x", 4, b"\x00")),
        message(header(b"x", 9, b"\x00")),
        message(header(b"\xff", 0, b"")),
        message(b"\x05ab"),
        message(b"\x02ab"),
    ],
)
@pytest.mark.parametrize("step", [1, 10_000])
def test_malformed_message_ends_the_reading(raw: bytes, step: int) -> None:
    reader = EventStreamReader()
    stream = SECOND + raw
    pieces = [stream[start : start + step] for start in range(0, len(stream), step)]
    assert [found for piece in pieces for found in reader.feed(piece)] == [MESSAGES[1]]
    assert reader.broken
    assert reader.feed(FIRST) == []
    assert reader.rest() == b""


def test_the_bound_can_be_lowered() -> None:
    reader = EventStreamReader(max_message_bytes=len(FIRST) - 1)
    assert reader.feed(FIRST[:12]) == []
    assert reader.broken


@pytest.mark.parametrize("headers", [{"x" * 256: ""}, {"x": "y" * 32_768}])
def test_headers_too_long_for_the_format_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="too long"):
        encode(headers, b"")
