"""What the dialects of embeddings by element have in common: reading members strictly, and counts that stand for all.

Rule: whatever is not understood in full is a ValueError, and the request or the answer stays whole.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

import orjson

from proxy.exchange.canonical import canonical_json, length_prefixed
from proxy.exchange.elements import Answered, Asked, Element, frame_of
from proxy.exchange.raw_json import Span, items, members, replaced

HOLE: Final = b"null"  # stands in a template for what is put in later
NO_COUNT: Final = b"0"
_NO_NUMBER: Final = (b"n", b"t", b"f", b'"', b"{", b"[")  # null, true, false, texts, objects, arrays
_TOKENS: Final = re.compile(rb"\[\s*\d+(?:\s*,\s*\d+)*\s*\]")
_VOLATILE: Final = frozenset({"id", "created"})  # new in each answer


def asked_of(raw: bytes, name: str, allowed: frozenset[str], read: Callable[[bytes, Span], list[Element]]) -> Asked:
    """A request whose inputs stand in the member `name`, with no members but the allowed ones besides."""
    found = members(raw)
    span = found.pop(name, None)
    if span is None or not found.keys() <= allowed:
        raise ValueError("not a request that is known in full")
    elements = read(raw, span)
    if not elements:
        raise ValueError("no input")
    # Texts and token numbers may not stand in one array.
    frame = elements[0].raw[:1] + frame_of((each, at.of(raw)) for each, at in found.items())
    return Asked(tuple(elements), frame, raw[: span.start], raw[span.end :])


def texts(raw: bytes, span: Span) -> list[Element]:
    """An array of texts."""
    return [text(at.of(raw)) for at in items(raw, span.start)]


def text(raw: bytes) -> Element:
    """A text that is not empty."""
    if not raw.startswith(b'"') or len(raw) <= len(b'""'):
        raise ValueError("no text, or an empty one")
    canonical = orjson.dumps(orjson.loads(raw)) if b"\\" in raw else raw
    return Element(raw, canonical, len(canonical) - len(b'""'))


def tokens(raw: bytes) -> Element:
    """An array of token numbers: as many tokens as it has items."""
    if not _TOKENS.fullmatch(raw):
        raise ValueError("no token numbers")
    return Element(raw, raw.translate(None, b" \t\r\n"), raw.count(b",") + 1)


def document(raw: bytes) -> Element:
    """An object."""
    if not raw.startswith(b"{"):
        raise ValueError("no object")
    return Element(raw, canonical_json(raw), len(raw))


def counted(raw: bytes, span: Span, names: Iterable[str]) -> tuple[int, bytes]:
    """The count in an object of counts, and that object without it. `names` hold the same count; whatever else is in
    there must be nothing, since nobody knows which part of it belongs to which input."""
    at = members(raw, span.start)
    counts = {name: orjson.loads(at[name].of(raw)) for name in names if name in at}
    found = set(counts.values())
    if len(found) != 1 or not all(type(count) is int and count >= 0 for count in counts.values()):
        raise ValueError("no count, or several")
    if any(not is_nothing(orjson.loads(each.of(raw))) for name, each in at.items() if name not in counts):
        raise ValueError("more than a count")
    inner = [(Span(at[name].start - span.start, at[name].end - span.start), NO_COUNT) for name in counts]
    return found.pop(), replaced(span.of(raw), sorted(inner))


def with_count(raw: bytes, names: Iterable[str], count: int) -> bytes:
    """An object of counts with `count` put in again."""
    at = members(raw)
    return replaced(raw, sorted((at[name], b"%d" % count) for name in names if name in at))


def is_vector(raw: bytes) -> bool:
    """An array of numbers, or base64. `raw` is one value."""
    if raw.startswith(b"["):
        return len(raw) > len(b"[]") and not any(raw.find(mark, 1) >= 0 for mark in _NO_NUMBER)
    return raw.startswith(b'"') and len(raw) > len(b'""') and raw.find(b"\\") < 0


def is_nothing(value: object) -> bool:
    """Null, nought, an empty text, or a collection of nothing else."""
    match value:
        case dict():
            return all(map(is_nothing, value.values()))
        case list():
            return all(map(is_nothing, value))
        case _:
            return not value


def lasting_members(template: bytes) -> bytes:
    """A template without what is new in each answer."""
    kept = ((name, at.of(template)) for name, at in members(template).items() if name not in _VOLATILE)
    return length_prefixed(part for name, raw in sorted(kept) for part in (name.encode(), raw))


def split_or_none(split: Callable[[bytes], Asked], raw: bytes) -> Asked | None:
    """What `split` gives; None when the request is not known in full."""
    try:
        return split(raw)
    except ValueError:
        return None


def read_or_none(read: Callable[[bytes, int], Answered], raw: bytes, count: int) -> Answered | None:
    """What `read` gives; None when the answer is not understood in full."""
    try:
        return read(raw, count)
    except (ValueError, TypeError, LookupError):
        return None
