"""Asking an OpenAI-shaped chat stream for its usage, and telling the event that was added because of it.

Rules: the request stays as its sender wrote it, byte for byte, except for the one member that asks. Members are found
by a scanner that knows strings, so text that merely quotes JSON is never taken for it.
https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options
"""

import re
from typing import Final

import orjson

from proxy.exchange.provider import Json
from proxy.providers.fields import parse
from proxy.wire.sse import data_of

_ASKING: Final = b'{"include_usage":true}'

# Whole strings, or the punctuation between values. Numbers, literals and white space are what is skipped.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]', re.DOTALL)


def asks(body: Json) -> bool:
    """True when this request already asks its stream for usage."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def ask(raw: bytes, body: Json) -> bytes | None:
    """`raw`, whose parsed form is `body`, with `stream_options.include_usage` true; None when it is so already, or
    when `stream_options` is something that the provider will reject anyway."""
    if "stream_options" not in body:
        return _with_first_member(raw, b'"stream_options":' + _ASKING, is_empty=not body)
    options = body["stream_options"]
    if options is not None and not isinstance(options, dict):
        return None
    span = value_span(raw, "stream_options")
    if span is None or asks(body):
        return None
    start, end = span
    return raw[:start] + _asking(raw[start:end], options) + raw[end:]


def _asking(raw: bytes, options: Json | None) -> bytes:
    """The value of `stream_options`, so changed that it asks."""
    if options is None:
        return _ASKING
    span = value_span(raw, "include_usage")
    if span is None:
        return _with_first_member(raw, b'"include_usage":true', is_empty=not options)
    return raw[: span[0]] + b"true" + raw[span[1] :]


def _with_first_member(raw: bytes, member: bytes, *, is_empty: bool) -> bytes:
    at = raw.index(b"{") + 1
    return raw[:at] + member + (b"" if is_empty else b",") + raw[at:]


def value_span(raw: bytes, name: str) -> tuple[int, int] | None:
    """Where the value of the top-level member `name` stands in the JSON object `raw`, white space around it included;
    None without such a member. Of repeated members the last counts, as parsers take it."""
    found: tuple[int, int] | None = None
    depth, start, key = 0, 0, b""
    for token in _TOKEN.finditer(raw):
        mark = raw[token.start()]
        if mark in b"}]":
            depth -= 1
        if depth == 1 and mark == ord(":"):
            start = token.end()
        elif depth == 1 and mark == ord('"') and not key:
            key = token.group()
        elif (depth == 1 and mark == ord(",")) or (depth == 0 and key):
            if orjson.loads(key) == name:
                found = (start, token.start())
            key = b""
        if mark in b"{[":
            depth += 1
    return found


def is_added_usage(event: bytes) -> bool:
    """True for the chunk that carries usage and nothing else: no choices, or none left."""
    if not reports_usage(event):
        return False
    chunk = parse(data_of(event))
    return chunk is not None and not chunk.get("choices") and isinstance(chunk.get("usage"), dict)


def reports_usage(event: bytes) -> bool:
    """False for an event without a `usage` member, or with one that is null, as every chunk but the last has it.

    Quotes inside of JSON strings are escaped, so `"usage"` is a member's name or a whole string, never part of a text.
    """
    at = event.find(b'"usage"')
    if at < 0:
        return False
    after = event[at + 7 : at + 14]
    is_null = after.startswith((b":null", b": null", b" : null"))
    return not is_null or event.find(b'"usage"', at + 7) >= 0
