"""Content codings of bodies that are complete: decoding requests, encoding answers.

Rules: the best coding the client accepts is taken, in the order zstd, br, gzip; small bodies stay as they are.
"""

import gzip
import zlib
from typing import Final

import brotli  # type: ignore[import-untyped]
import zstandard

_MIN_BYTES: Final = 1024
_MAX_DECODED_BYTES: Final = 64 * 1024 * 1024


def decode(body: bytes, coding: str) -> bytes:
    """The body without its content coding. Raises ValueError when it is not coded so, or the coding is unknown."""
    try:
        match coding.lower():
            case "" | "identity":
                return body
            case "gzip" | "x-gzip":
                return gzip.decompress(body)
            case "deflate":
                return zlib.decompress(body)
            case "br":
                return bytes(brotli.decompress(body))
            case "zstd":
                return zstandard.ZstdDecompressor().decompressobj().decompress(body)[:_MAX_DECODED_BYTES]
    except (OSError, EOFError, zlib.error, brotli.error, zstandard.ZstdError) as exc:
        raise ValueError(f"body is not {coding}") from exc
    raise ValueError(f"unknown content coding {coding}")


def encode(body: bytes, accepted: str) -> tuple[bytes, bytes]:
    """The body coded for a client that accepts these codings, and the coding's name; b"" when it stays as it is."""
    if len(body) < _MIN_BYTES or not accepted:
        return body, b""
    offered = {each.partition(";")[0].strip().lower() for each in accepted.split(",") if not _is_refused(each)}
    if "zstd" in offered:
        return zstandard.ZstdCompressor(level=3).compress(body), b"zstd"
    if "br" in offered:
        return brotli.compress(body, quality=4), b"br"
    if "gzip" in offered:
        return gzip.compress(body, compresslevel=5), b"gzip"
    return body, b""


def _is_refused(offer: str) -> bool:
    weight = offer.partition(";q=")[2].strip()
    return weight in ("0", "0.0", "0.00", "0.000")
