"""Content codings: every one round trips, comes out eagerly, and is bounded."""

import gzip
import zlib

import brotli  # type: ignore[import-untyped]  # ships no types
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.coding import CodingError, Decoder, decoder, encode
from tests.wire.feeding import bytewise, cut

CODINGS = ["gzip", "x-gzip", "deflate", "br", "zstd", "identity", "GZIP"]
COMPRESSED = ["gzip", "deflate", "br", "zstd"]
TEXT = b'data: {"choices":[{"delta":{"content":"hello"}}]}\n\n' * 20


def made(coding: str, limit_bytes: int = 1_000_000) -> Decoder:
    found = decoder(coding, limit_bytes=limit_bytes)
    assert found is not None
    return found


def decoded(coding: str, pieces: list[bytes]) -> bytes:
    taking = made(coding)
    return b"".join(taking.decode(piece) for piece in pieces) + taking.flush()


@pytest.mark.parametrize("coding", CODINGS)
def test_whole_body_round_trips(coding: str) -> None:
    assert decoded(coding, [encode(coding, TEXT)]) == TEXT
    assert encode(coding, TEXT) == encode(coding, TEXT)


@pytest.mark.parametrize("coding", CODINGS)
def test_body_byte_by_byte(coding: str) -> None:
    assert decoded(coding, bytewise(encode(coding, TEXT))) == TEXT


@given(st.sampled_from(COMPRESSED), st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=6))
def test_any_split_gives_the_same_bytes(coding: str, body: bytes, positions: list[int]) -> None:
    assert decoded(coding, list(cut(encode(coding, body), positions))) == body


@given(st.sampled_from(COMPRESSED), st.lists(st.binary(max_size=40), max_size=4))
def test_random_bytes_raise_coding_errors_only(coding: str, pieces: list[bytes]) -> None:
    taking = made(coding)
    try:
        for piece in pieces:
            taking.decode(piece)
        taking.flush()
    except CodingError:
        assert any(pieces)


@pytest.mark.parametrize("coding", [*COMPRESSED, "", "identity"])
def test_nothing_decodes_to_nothing(coding: str) -> None:
    taking = made(coding)
    assert taking.decode(b"") == b""
    assert taking.flush() == b""


def flushed(coding: str) -> list[bytes]:
    """Two events, each in a block of its own."""
    pieces = [b"data: one\n\n", b"data: two\n\n"]
    if coding == "br":
        brotlier = brotli.Compressor()
        return [brotlier.process(piece) + brotlier.flush() for piece in pieces]
    if coding == "zstd":
        writer = zstandard.ZstdCompressor().compressobj()
        return [writer.compress(piece) + writer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for piece in pieces]
    compressor = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    return [compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]


@pytest.mark.parametrize("coding", COMPRESSED)
def test_flushed_events_come_out_at_once(coding: str) -> None:
    taking = made(coding)
    assert [taking.decode(block) for block in flushed(coding)] == [b"data: one\n\n", b"data: two\n\n"]


@pytest.mark.parametrize("coding", COMPRESSED)
def test_cut_off_body_is_an_error(coding: str) -> None:
    taking = made(coding)
    taking.decode(encode(coding, TEXT)[:-1])
    with pytest.raises(CodingError, match="cut off"):
        taking.flush()


@pytest.mark.parametrize("coding", COMPRESSED)
def test_one_byte_is_a_cut_off_body(coding: str) -> None:
    taking = made(coding)
    taking.decode(encode(coding, TEXT)[:1])
    with pytest.raises(CodingError, match="cut off"):
        taking.flush()


@pytest.mark.parametrize("coding", COMPRESSED)
def test_garbage_is_an_error(coding: str) -> None:
    with pytest.raises(CodingError, match="malformed"):
        made(coding).decode(b"\xff\xff\xff garbage")


@pytest.mark.parametrize("coding", COMPRESSED)
def test_garbage_behind_the_body_is_an_error(coding: str) -> None:
    with pytest.raises(CodingError):
        decoded(coding, [encode(coding, TEXT) + b"\xff\xff\xff garbage"])


@pytest.mark.parametrize("coding", COMPRESSED)
def test_bombs_are_stopped(coding: str) -> None:
    bomb = encode(coding, bytes(3_000_000))
    assert len(bomb) < 10_000
    with pytest.raises(CodingError, match="too large"):
        made(coding).decode(bomb)


@pytest.mark.parametrize("coding", COMPRESSED)
def test_output_of_exactly_the_bound_is_given(coding: str) -> None:
    assert len(made(coding, limit_bytes=100_000).decode(encode(coding, bytes(100_000)))) == 100_000


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_several_members_make_one_body(coding: str) -> None:
    assert decoded(coding, [encode(coding, b"one") + encode(coding, b"two")]) == b"onetwo"
    assert decoded(coding, [encode(coding, b"one"), encode(coding, b"two")]) == b"onetwo"


def test_zstd_windows_beyond_the_standard_are_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=24)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    block = writer.compress(b"x") + writer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    with pytest.raises(CodingError):
        made("zstd").decode(block)


@pytest.mark.parametrize("step", [1, 2, 10_000])
def test_bare_deflate_is_understood(step: int) -> None:
    compressor = zlib.compressobj(wbits=-15)
    raw = compressor.compress(TEXT) + compressor.flush()
    assert decoded("deflate", [raw[start : start + step] for start in range(0, len(raw), step)]) == TEXT


def test_two_codings_are_taken_off_in_reverse() -> None:
    raw = encode("br", encode("gzip", TEXT))
    assert decoded("gzip, br", [raw]) == TEXT
    assert decoded("GZIP , identity, Br", bytewise(raw)) == TEXT
    taking = made("gzip, br")
    taking.decode(encode("br", encode("gzip", TEXT)[:-1]))
    with pytest.raises(CodingError):
        taking.flush()


@pytest.mark.parametrize("coding", ["compress", "gzip, gzip, gzip", "gzip, odd", "*"])
def test_unknown_codings_have_no_decoder(coding: str) -> None:
    assert decoder(coding) is None


def test_encoding_in_an_unknown_coding_is_an_error() -> None:
    with pytest.raises(CodingError):
        encode("compress", b"")


def test_others_understand_what_is_encoded() -> None:
    assert gzip.decompress(encode("gzip", TEXT)) == TEXT
    assert zlib.decompress(encode("deflate", TEXT)) == TEXT
    assert brotli.decompress(encode("br", TEXT)) == TEXT
    assert zstandard.decompress(encode("zstd", TEXT)) == TEXT
