"""Where the values of a JSON text stand, so that they can be copied byte for byte.

Rules: the text is known to be JSON, or is looked at by somebody else: brackets and strings are followed here, and what
is between them is not judged. Numbers are never read, so none changes: 0.10 stays 0.10. Raises ValueError where the
text is not what it is taken for. Arrays of numbers, and strings, are passed by a search for their end.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import orjson

_SPACE: Final = re.compile(rb"[ \t\n\r]*")
_PLAIN: Final = re.compile(rb'[^\s,:\[\]{}"]+')
_OPENS: Final = re.compile(rb'[ \t\n\r]*["\[{]')
_MARK: Final = re.compile(rb'["\[\]{}]')
_BACKSLASH: Final = ord("\\")
_BRACKET: Final = ord("[")


class Span(NamedTuple):
    """Where a value stands, without the white space around it."""

    start: int
    end: int

    def of(self, raw: bytes) -> bytes:
        """Its bytes."""
        return raw[self.start : self.end]


def members(raw: bytes, at: int = 0) -> dict[str, Span]:
    """The members of the object that begins at `at` (or after white space), in their order.

    A repeated member is a ValueError: readers differ in which one they take."""
    found: dict[str, Span] = {}
    for name, value in _entries(raw, at, b"{"):
        key = orjson.loads(name)
        if key in found:
            raise ValueError("repeated member")
        found[key] = value
    return found


def items(raw: bytes, at: int = 0) -> list[Span]:
    """The items of the array that begins at `at` (or after white space)."""
    return [value for _, value in _entries(raw, at, b"[")]


def replaced(raw: bytes, changes: list[tuple[Span, bytes]]) -> bytes:
    """`raw` with other bytes in these places, which are in ascending order and do not overlap."""
    pieces: list[bytes] = []
    at = 0
    for span, new in changes:
        pieces += (raw[at : span.start], new)
        at = span.end
    return b"".join([*pieces, raw[at:]])


def _entries(raw: bytes, at: int, opening: bytes) -> Iterator[tuple[bytes, Span]]:
    """Names (none in an array) and values of the object or array at `at`."""
    closing = b"}" if opening == b"{" else b"]"
    at = _after_space(raw, at)
    if raw[at : at + 1] != opening:
        raise ValueError("not what was expected")
    at = _after_space(raw, at + 1)
    if raw[at : at + 1] == closing:
        return
    while True:
        name = b""
        if opening == b"{":
            name, at = _name(raw, at)
        end = _value_end(raw, at)
        yield name, Span(at, end)
        at = _after_space(raw, end)
        mark = raw[at : at + 1]
        if mark == closing:
            return
        if mark != b",":
            raise ValueError("neither another one nor the end")
        at = _after_space(raw, at + 1)


def _name(raw: bytes, at: int) -> tuple[bytes, int]:
    """A member's name, and where its value begins."""
    if raw[at : at + 1] != b'"':
        raise ValueError("not a member")
    end = _string_end(raw, at)
    colon = _after_space(raw, end)
    if raw[colon : colon + 1] != b":":
        raise ValueError("not a member")
    return raw[at:end], _after_space(raw, colon + 1)


def _after_space(raw: bytes, at: int) -> int:
    if raw[at : at + 1] > b" ":
        return at
    match = _SPACE.match(raw, at)
    assert match is not None  # it matches nothing at all
    return match.end()


def _value_end(raw: bytes, start: int) -> int:
    first = raw[start : start + 1]
    if first == b'"':
        return _string_end(raw, start)
    if first in (b"[", b"{"):
        return _flat_end(raw, start) or _nested_end(raw, start)
    match = _PLAIN.match(raw, start)
    if match is None:
        raise ValueError("no value")
    return match.end()


def _string_end(raw: bytes, start: int) -> int:
    at = start + 1
    while (quote := raw.find(b'"', at)) >= 0:
        before = quote
        while raw[before - 1] == _BACKSLASH and before > start + 1:
            before -= 1
        if (quote - before) % 2 == 0:
            return quote + 1
        at = quote + 1
    raise ValueError("a string does not end")


def _flat_end(raw: bytes, start: int) -> int:
    """Where an array of numbers ends; 0 when it is something else. Three searches, whatever its length."""
    if raw[start] != _BRACKET or _OPENS.match(raw, start + 1):
        return 0
    end = raw.find(b"]", start)
    is_flat = end > 0 and all(raw.find(mark, start + 1, end) < 0 for mark in (b'"', b"[", b"{"))
    return end + 1 if is_flat else 0


def _nested_end(raw: bytes, start: int) -> int:
    depth, at = 0, start
    while (match := _MARK.search(raw, at)) is not None:
        at = match.end()
        mark = match.group()
        if mark == b'"':
            at = _string_end(raw, match.start())
        elif mark in (b"[", b"{"):
            if flat_end := _flat_end(raw, match.start()):
                at = flat_end
            else:
                depth += 1
        else:
            depth -= 1
            if depth == 0:
                return at
    raise ValueError("it does not end")
