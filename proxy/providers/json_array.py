"""Cuts a stream that is one long JSON array into its objects, as Google sends streams without `alt=sse`.

Rules: brackets and strings are followed, nothing is parsed: whether an object is valid is seen by who parses it. At
most one open object is held, and at most 1 MiB of it. Text that is no array ends the reading with a ValueError.
"""

import re
from typing import Final

from proxy.providers.readers import LIMIT_BYTES

_OUTSIDE: Final = re.compile(rb'["{}\[\]]')
_INSIDE: Final = re.compile(rb'["\\]')


class ArraySplitter:
    """Takes the array piece by piece and gives each object once it is whole."""

    def __init__(self) -> None:
        self._held = b""
        self._position = 0  # in _held: what stands before has been looked at
        self._start = -1  # in _held: of the object that is open
        self._depth = 0
        self._in_string = False
        self.is_closed = False  # the array's own bracket has been closed

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that are complete now. Raises ValueError when the text is no array, or an object is too long."""
        self._held += data
        found: list[bytes] = []
        while (mark := self._next_mark()) is not None:
            at, byte = mark
            self._position = at + 1
            if self._in_string:
                if byte == b"\\":
                    self._position = at + 2
                else:
                    self._in_string = False
            elif byte == b'"':
                self._in_string = True
            elif byte in b"{[":
                self._open(at, byte)
            elif (whole := self._close(at)) is not None:
                found.append(whole)
        self._release()
        if len(self._held) > LIMIT_BYTES:
            raise ValueError("an object is too long")
        return found

    def _next_mark(self) -> tuple[int, bytes] | None:
        pattern = _INSIDE if self._in_string else _OUTSIDE
        match = pattern.search(self._held, self._position)
        if match is None:
            self._position = max(self._position, len(self._held))
            return None
        return match.start(), match.group()

    def _open(self, at: int, byte: bytes) -> None:
        if self._depth == 0 and (byte != b"[" or self.is_closed):
            raise ValueError("not one JSON array")
        if self._depth == 1:
            self._start = at
        self._depth += 1

    def _close(self, at: int) -> bytes | None:
        self._depth -= 1
        if self._depth < 0:
            raise ValueError("a bracket is closed that was not opened")
        if self._depth == 0:
            self.is_closed = True
        if self._depth != 1:
            return None
        whole, self._start = self._held[self._start : at + 1], -1
        return whole

    def _release(self) -> None:
        """Forget what no open object needs."""
        keep = self._start if self._start >= 0 else min(self._position, len(self._held))
        self._held = self._held[keep:]
        self._position -= keep
        self._start = min(self._start, 0)
