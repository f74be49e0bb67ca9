"""What other implementations write, we read; what nobody may write, we refuse."""

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange.headers import HeaderList
from proxy.wire.hpack_decoder import HpackDecoder, HpackError

LIMIT = 65_536
ANSWER: HeaderList = [
    (b":status", b"200"),
    (b"date", b"Sun, 01 Nov 2026 00:00:00 GMT"),
    (b"content-type", b"application/json"),
    (b"x-request-id", b"req_0123456789abcdef"),
    (b"x-all", bytes(range(256))),
    (b"x-empty", b""),
]


def encoded(encoder: hpack.Encoder, fields: HeaderList, *, huffman: bool = True) -> bytes:
    return encoder.encode(fields, huffman=huffman)


@pytest.mark.parametrize("huffman", [True, False])
def test_fields_come_out_as_they_went_in(huffman: bool) -> None:
    encoder, decoder = hpack.Encoder(), HpackDecoder(LIMIT)
    for number in range(200):  # old entries leave the table meanwhile
        fields = [*ANSWER, (b"x-number", b"%d" % number), (b"x-long", b"v" * (number * 3))]
        assert decoder.decode(encoded(encoder, fields, huffman=huffman)) == fields


def test_a_table_that_changes_its_size_is_followed() -> None:
    encoder, decoder = hpack.Encoder(), HpackDecoder(LIMIT)
    for size in (4096, 100, 0, 4096, 64):
        encoder.header_table_size = size
        for _ in range(3):
            assert decoder.decode(encoded(encoder, ANSWER)) == ANSWER


def test_fields_that_are_never_indexed() -> None:
    decoder = HpackDecoder(LIMIT)
    assert decoder.decode(b"\x1f\x27\x03abc") == [(b"server", b"abc")]
    with pytest.raises(HpackError):
        decoder.decode(b"\xbe")  # it did not enter the table


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.binary(max_size=300)), max_size=20), st.booleans())
def test_any_fields_are_read_back(fields: list[tuple[bytes, bytes]], huffman: bool) -> None:
    encoder, decoder = hpack.Encoder(), HpackDecoder(LIMIT)
    for _ in range(2):
        assert decoder.decode(encoded(encoder, fields, huffman=huffman)) == fields


@given(st.binary(max_size=60))
def test_noise_is_read_as_the_other_implementation_reads_it_or_refused(noise: bytes) -> None:
    theirs: list[tuple[bytes, bytes]] | None
    try:
        theirs = [(name, value) for name, value in hpack.Decoder(LIMIT).decode(noise, raw=True)]
    except hpack.HPACKError:
        theirs = None
    try:
        ours = HpackDecoder(LIMIT).decode(noise)
    except HpackError:
        assert theirs is None
        return
    assert theirs is None or ours == theirs


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # index 0
        b"\xff",  # a number that ends nowhere
        b"\xff\x80\x80\x80\x80\x80\x01",  # a number without end
        b"\xbe",  # an index that nothing stands at
        b"\x40\x05ab",  # a string that is cut off
        b"\x40",
        b"\x00\x01a",
        b"\x3f\xe2\x1f",  # a table larger than ours
        b"\x00\x01a\x84\xff\xff\xff\xff",  # the end of a string within one
        b"\x00\x01a\x82\x1f\xff",  # more filling than a byte needs
        b"\x00\x01a\x81\x1e",  # filled up with zeros
        b"\x00\x01a\x7f\xff\xff\x04" + b"v" * 70_000,  # more than a list may hold
    ],
)
def test_what_nobody_may_write_is_refused(block: bytes) -> None:
    with pytest.raises(HpackError):
        HpackDecoder(LIMIT).decode(block)


def test_a_list_of_fields_is_bounded_however_few_bytes_name_it() -> None:
    decoder = HpackDecoder(LIMIT)
    block = b"\x40\x01a\x7f\xa1\x1e" + b"v" * 4000
    with pytest.raises(HpackError):
        decoder.decode(block + b"\xbe" * 100)
