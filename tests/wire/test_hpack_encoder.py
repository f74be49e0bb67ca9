"""What the encoder writes, another implementation reads back; and it grows shorter where calls are alike."""

import hpack
import pytest

from proxy.exchange.headers import HeaderList
from proxy.wire.hpack_encoder import HpackEncoder, UnsendableError, content_length

CALL: HeaderList = [
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":authority", b"api.openai.com"),
    (b":path", b"/v1/chat/completions"),
    (b"user-agent", b"OpenAI/Python 2.9.0"),
    (b"content-type", b"application/json"),
    (b"authorization", b"Bearer sk-0123456789"),
    (b"x-utf8", "é".encode()),
    (b"x-empty", b""),
    (b"x-long", b"v" * 5000),
]


def read(decoder: hpack.Decoder, block: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in decoder.decode(block, raw=True)]


def test_every_block_is_read_back_as_it_was() -> None:
    encoder, decoder = HpackEncoder(), hpack.Decoder()
    for number in range(6):
        fields = [*CALL, (b"x-number", b"%d" % number), (b"x-parity", b"%d" % (number % 2))]
        block = encoder.encode(fields) + content_length(number * 1000)
        assert read(decoder, block) == [*fields, (b"content-length", b"%d" % (number * 1000))]


def test_what_comes_again_takes_few_bytes() -> None:
    encoder, decoder = HpackEncoder(), hpack.Decoder()
    short = CALL[:7]
    sizes = []
    for _ in range(4):
        block = encoder.encode(short)
        assert read(decoder, block) == short
        sizes.append(len(block))
    assert sizes[2] == sizes[3] == 6 + 2 + len(b"Bearer sk-0123456789") + 1  # an index each, but for the credential


def test_a_credential_never_enters_the_peers_table() -> None:
    encoder, decoder = HpackEncoder(), hpack.Decoder()
    for _ in range(3):
        read(decoder, encoder.encode(CALL))
    assert all(name != b"authorization" for name, _ in decoder.header_table.dynamic_entries)


def test_fields_that_always_differ_do_not_fill_the_table() -> None:
    encoder, decoder = HpackEncoder(), hpack.Decoder()
    for number in range(1000):
        fields = [*CALL[:5], (b"traceparent", b"00-%032d-01" % number)]
        assert read(decoder, encoder.encode(fields)) == fields
    assert len(decoder.header_table.dynamic_entries) == 3


def test_a_full_table_is_left_as_it_is() -> None:
    encoder, decoder = HpackEncoder(), hpack.Decoder()
    for number in (*range(200), *range(200), *range(200)):
        fields = [(b":method", b"GET"), (b"x-tenant", b"%0100d" % number)]
        assert read(decoder, encoder.encode(fields)) == fields


def test_a_peer_without_a_table_gets_none() -> None:
    encoder, decoder = HpackEncoder(), hpack.Decoder()
    for _ in range(3):
        assert read(decoder, encoder.encode(CALL)) == CALL
    encoder.limit_table(0)
    decoder.max_allowed_table_size = 0
    for _ in range(3):
        assert read(decoder, encoder.encode(CALL)) == CALL
    assert not decoder.header_table.dynamic_entries


@pytest.mark.parametrize(
    "field", [(b"x", b"a\nb"), (b"x", b"a\x00"), (b"X-Upper", b""), (b"", b""), (b"a b", b""), (b"x\r", b"")]
)
def test_a_field_that_cannot_be_sent_changes_nothing(field: tuple[bytes, bytes]) -> None:
    encoder, decoder = HpackEncoder(), hpack.Decoder()
    for _ in range(2):
        with pytest.raises(UnsendableError):
            encoder.encode([*CALL, field])
    for _ in range(3):
        assert read(decoder, encoder.encode(CALL)) == CALL


def test_many_kinds_of_calls_are_all_right() -> None:
    encoder, decoder = HpackEncoder(), hpack.Decoder()
    for number in (*range(100), *range(100)):
        fields = [*CALL[:3], (b":path", b"/%d" % number)]
        assert read(decoder, encoder.encode(fields)) == fields
