"""Made-up content: text, vectors, tool arguments and token counts, all following from a seed.

Rules: pure functions; the same seed gives the same content on every machine. Text holds some characters outside ASCII,
because code that cuts UTF-8 in the wrong place must not pass its tests. Token counts are a plain estimate (four
characters a token); only their consistency matters.
"""

import math
import struct
from array import array
from hashlib import blake2b, shake_256
from typing import Final

from proxy.demo.asks import as_json, as_list, as_text
from proxy.exchange.provider import Json

_TEXT: Final = """
the a every small quiet answer token model cache stream price budget proxy request saved twice never again
reads writes holds keeps counts finds sends returns because while after before without between under over
green river stone winter morning paper lamp garden coffee bridge window market harbour letter café naïve
Straße 東京 🙂 „ja“ 10% x=1 {ok} first second third once more less
"""
_WORDS: Final = tuple(_TEXT.split())
_WORD_OF_BYTE: Final = tuple(" " + _WORDS[byte % len(_WORDS)] for byte in range(256))
_DEPTH_LIMIT: Final = 8


def words(seed: bytes, count: int) -> list[str]:
    """`count` words; all but the first begin with a space, so that joining them gives a text."""
    picked = [_WORD_OF_BYTE[byte] for byte in shake_256(seed).digest(count)]
    if picked:
        picked[0] = picked[0][1:].capitalize()
    return picked


def tokens(value: str | bytes) -> int:
    """An estimate of the tokens in a text; at least one."""
    return max(1, len(value) // 4)


def vector(seed: bytes, dimensions: int) -> list[float]:
    """A unit vector, rounded to eight places as embeddings are."""
    raw = array("h", shake_256(seed).digest(2 * dimensions))
    norm = math.sqrt(math.sumprod(raw, raw)) or 1.0
    return [round(value / norm, 8) for value in raw]


def packed(values: list[float]) -> bytes:
    """A vector as little-endian 32-bit floats, which `encoding_format: base64` asks for."""
    return struct.pack(f"<{len(values)}f", *values)


def sound(seed: bytes, length: int) -> bytes:
    """Bytes that stand for audio or an image."""
    return shake_256(seed).digest(length)


def fill(schema: Json, seed: bytes, depth: int = 0) -> object:
    """A value that satisfies the usual parts of a JSON schema: what a forced tool call or a JSON answer holds."""
    if depth > _DEPTH_LIMIT:
        return None
    if "const" in schema:
        return schema["const"]
    if options := as_list(schema.get("enum")):
        return options[0]
    for union in ("anyOf", "oneOf", "allOf"):
        if members := as_list(schema.get(union)):
            return fill(as_json(members[0]), seed, depth + 1)
    kind = schema.get("type")
    match as_text(as_list(kind)[0] if isinstance(kind, list) and kind else kind).lower():
        case "object" | "":
            properties = as_json(schema.get("properties"))
            return {name: fill(as_json(member), seed + name.encode(), depth + 1) for name, member in properties.items()}
        case "array":
            return [fill(as_json(schema.get("items")), seed, depth + 1)]
        case "integer":
            return 1 + _number(seed) % 100
        case "number":
            return (1 + _number(seed) % 1000) / 10
        case "boolean":
            return _number(seed) % 2 == 0
        case "null":
            return None
        case _:
            return "".join(words(seed, 2))


def prompt_text(value: object) -> str:
    """All text inside a prompt, whatever its nesting: what input tokens are counted from."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join([prompt_text(item) for item in value])
    if isinstance(value, dict):
        return " ".join([prompt_text(item) for item in value.values()])
    return ""


def _number(seed: bytes) -> int:
    return int.from_bytes(blake2b(seed, digest_size=4).digest())
