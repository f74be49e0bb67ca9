"""A JSON answer that is too large to keep: is it whole, and what usage stands near its end?

A batch of embeddings or a base64 image is many megabytes, and its usage comes last. Rules: only the first and the last
bytes are kept; the rest is followed by its brackets alone, at the speed of bytes methods. Brackets that balance outside
strings are no proof of valid JSON, but a text that was cut off never balances, and that is what is asked.
"""

import json
import re
from typing import Final

from proxy.exchange.provider import Json

EDGE_BYTES: Final = 16 * 1024  # kept of each end: usage objects are some hundred bytes

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_TEXT_MEMBER = re.compile(rb'"(model|id|service_tier|modelVersion|responseId)"\s*:\s*"([^"\\]{1,200})"')
_DECODER = json.JSONDecoder()


class LargeJson:
    """Takes a JSON object piece by piece and keeps its edges."""

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""
        self._backslash = b""  # a lone backslash at the end of the last piece
        self._in_string = False
        self._depth = 0

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        if len(self._head) < EDGE_BYTES:
            self._head += data[: EDGE_BYTES - len(self._head)]
        self._tail = (self._tail + data[-EDGE_BYTES:])[-EDGE_BYTES:]
        text = _ESCAPE.sub(b"", self._backslash + data)
        self._backslash = b"\\" if text.endswith(b"\\") else b""
        # With the escapes gone every quote opens or closes a string: each second part lies outside of them.
        parts = text.split(b'"')
        outside = b"".join(parts[1 if self._in_string else 0 :: 2])
        self._in_string ^= len(parts) % 2 == 0
        opened = outside.count(b"{") + outside.count(b"[")
        self._depth += opened - outside.count(b"}") - outside.count(b"]")

    def is_whole(self) -> bool:
        """True when every bracket that was opened is closed."""
        return self._depth == 0 and not self._in_string and self._tail.rstrip().endswith((b"}", b"]"))

    def edges(self, key: bytes) -> Json | None:
        """The last object named `key` in the tail, with the model, id and service tier found at either edge, as a
        document of its own; None when the tail holds no such object."""
        at = self._tail.rfind(b'"' + key + b'"')
        if at < 0:
            return None
        rest = self._tail[at + len(key) + 2 :].decode("utf-8", "replace").lstrip(": \t\r\n")
        try:
            found, _ = _DECODER.raw_decode(rest)
        except (ValueError, RecursionError):
            return None
        document: Json = {}
        for edge in (self._head, self._tail):
            document |= {name.decode(): value.decode("utf-8", "replace") for name, value in _TEXT_MEMBER.findall(edge)}
        return document | {key.decode(): found}
