"""Content codings (RFC 9110, section 8.4): decoding piece by piece, and encoding whole bodies.

Rules: a decoder gives out all that its input allows at once, so that an event in a flushed block is seen when it comes.
What one call may produce is bounded; beyond that, on malformed input and on a cut-off end it raises `CodingError`, and
must not be used again. What a client accepts is decided in accept_encoding, and offered here too.
"""

import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

import brotli  # type: ignore[import-untyped]  # ships no types
import zstandard

from proxy.wire.accept_encoding import acceptable, negotiate

__all__ = ["CodingError", "Decoder", "acceptable", "decoder", "encode", "negotiate"]

MAX_OUTPUT_BYTES = 64 * 1_048_576  # per call; a read of 64 KB of JSON that grows a thousandfold is an attack
MAX_CODINGS = 2  # "gzip, br" has been seen; more in a row only multiplies work

_GZIP_WBITS, _ZLIB_WBITS, _RAW_WBITS = 31, 15, -15
_ZSTD_MAX_WINDOW_BYTES = 8 * 1_048_576  # RFC 9659
# The zstandard package cannot bound a call's output. Four bytes can stand for a block of 128 KB, so that a slice of
# this size produces at most 8 MB before the bound is looked at.
_ZSTD_SLICE_BYTES = 256
_ZSTD_LEVEL, _ZLIB_LEVEL, _BROTLI_QUALITY = 3, 6, 5  # where each stops being fast enough for the request path


class CodingError(Exception):
    """Malformed, cut off, or growing beyond the bound."""


class Decoder(Protocol):
    """Takes one content coding off a body."""

    def decode(self, data: bytes) -> bytes:
        """What these bytes stand for, as far as they tell. Raises CodingError."""
        ...

    def flush(self) -> bytes:
        """The coded body has ended. Raises CodingError when it is cut off."""
        ...


class _Identity:
    def decode(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


class _Zlib:
    """gzip (any number of members) and deflate."""

    def __init__(self, wbits: int, limit_bytes: int) -> None:
        self._wbits = wbits
        self._limit_bytes = limit_bytes
        self._member = zlib.decompressobj(wbits)
        self._is_inside = False  # a member has begun and not ended

    def decode(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        left = self._limit_bytes
        while data:
            self._is_inside = True
            try:
                piece = self._member.decompress(data, left + 1)
            except zlib.error as exc:
                raise CodingError("malformed compressed data") from exc
            left -= len(piece)
            if left < 0:
                raise CodingError("decoded data too large")
            pieces.append(piece)
            if not self._member.eof:
                break
            data = self._member.unused_data
            self._member = zlib.decompressobj(self._wbits)
            self._is_inside = False
        return b"".join(pieces)

    def flush(self) -> bytes:
        if self._is_inside:
            raise CodingError("compressed data cut off")
        return b""


class _Deflate:
    """`deflate` means zlib's format, but some servers send the bare one: the first two bytes tell them apart."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._first = b""
        self._inner: _Zlib | None = None

    def decode(self, data: bytes) -> bytes:
        if self._inner is None:
            data = self._first = self._first + data
            if len(data) < 2:
                return b""
            is_zlib = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0
            self._inner = _Zlib(_ZLIB_WBITS if is_zlib else _RAW_WBITS, self._limit_bytes)
        return self._inner.decode(data)

    def flush(self) -> bytes:
        if self._inner is not None:
            return self._inner.flush()
        if self._first:
            raise CodingError("compressed data cut off")
        return b""


class _Brotli:
    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._decompressor = brotli.Decompressor()
        self._has_begun = False

    def decode(self, data: bytes) -> bytes:
        if not data:
            return b""
        self._has_begun = True
        try:
            decoded: bytes = self._decompressor.process(data, output_buffer_limit=self._limit_bytes + 1)
        except brotli.error as exc:
            raise CodingError("malformed compressed data") from exc
        # The limit is only looked at between blocks of output, so a call may go beyond it a little.
        if len(decoded) > self._limit_bytes:
            raise CodingError("decoded data too large")
        return decoded

    def flush(self) -> bytes:
        if self._has_begun and not self._decompressor.is_finished():
            raise CodingError("compressed data cut off")
        return b""


class _Zstd:
    """Any number of frames."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW_BYTES)
        self._frame = self._context.decompressobj()
        self._is_inside = False

    def decode(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        size = 0
        for start in range(0, len(data), _ZSTD_SLICE_BYTES):
            rest = data[start : start + _ZSTD_SLICE_BYTES]
            while rest:
                self._is_inside = True
                try:
                    piece = self._frame.decompress(rest)
                except zstandard.ZstdError as exc:
                    raise CodingError("malformed compressed data") from exc
                size += len(piece)
                if size > self._limit_bytes:
                    raise CodingError("decoded data too large")
                pieces.append(piece)
                if not self._frame.eof:
                    break
                rest = self._frame.unused_data
                self._frame = self._context.decompressobj()
                self._is_inside = False
        return b"".join(pieces)

    def flush(self) -> bytes:
        if self._is_inside:
            raise CodingError("compressed data cut off")
        return b""


class _Chain:
    """Several codings, the one applied last taken off first."""

    def __init__(self, decoders: list[Decoder]) -> None:
        self._decoders = decoders

    def decode(self, data: bytes) -> bytes:
        for decoder_ in self._decoders:
            data = decoder_.decode(data)
        return data

    def flush(self) -> bytes:
        for decoder_ in self._decoders:
            decoder_.flush()
        return b""


def _gzip_decoder(limit_bytes: int) -> Decoder:
    return _Zlib(_GZIP_WBITS, limit_bytes)


_DECODERS: Mapping[str, Callable[[int], Decoder]] = MappingProxyType(
    {
        "gzip": _gzip_decoder,
        "x-gzip": _gzip_decoder,
        "deflate": _Deflate,
        "br": _Brotli,
        "zstd": _Zstd,
    }
)


def decoder(coding: str, *, limit_bytes: int = MAX_OUTPUT_BYTES) -> Decoder | None:
    """A decoder for a Content-Encoding value; None for a coding we do not know, or for more than two in a row.

    `limit_bytes` bounds what one call of `decode` may produce.
    """
    names = _codings(coding)
    if len(names) > MAX_CODINGS or not all(name in _DECODERS for name in names):
        return None
    decoders = [_DECODERS[name](limit_bytes) for name in reversed(names)]
    if not decoders:
        return _Identity()
    return decoders[0] if len(decoders) == 1 else _Chain(decoders)


def _codings(coding: str) -> list[str]:
    names = [name.strip().lower() for name in coding.split(",")]
    return [name for name in names if name not in ("", "identity")]


def encode(coding: str, data: bytes) -> bytes:
    """`data` in one content coding, the same bytes each time. Raises CodingError for a coding we do not know."""
    match coding.lower():
        case "identity":
            return data
        case "gzip" | "x-gzip":
            # zlib writes no time into the header, so that equal bodies stay equal.
            compressor = zlib.compressobj(_ZLIB_LEVEL, wbits=_GZIP_WBITS)
            return compressor.compress(data) + compressor.flush()
        case "deflate":
            return zlib.compress(data, _ZLIB_LEVEL)
        case "br":
            return bytes(brotli.compress(data, quality=_BROTLI_QUALITY))
        case "zstd":
            return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(data)
        case _:
            raise CodingError("unknown content coding")
