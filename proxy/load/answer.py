"""Reads one HTTP/1.1 answer after another, whatever its framing, and says when each is complete.

Rules: sans-io. Bodies are not kept. Raises ValueError for what is no HTTP, or for bytes after an answer.
"""

import re
from typing import Final

_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*\r\n", re.IGNORECASE)
_MAX_HEAD: Final = 65_536


class AnswerReader:
    """One connection's answers. Look at `status`, `pieces` and `is_last` when `feed` has said True."""

    def __init__(self) -> None:
        self._kept = b""
        self._in_body = False
        self._missing: int | None = 0  # of the body or of the current chunk, its line end included; None: to the end
        self._chunked = False
        self.status = 0
        self.pieces = 0  # chunks of a chunked body, the last one not counted
        self.is_last = False  # the connection ends with this answer

    def feed(self, data: bytes) -> bool:
        """Take bytes; True once the answer is complete."""
        data = self._kept + data if self._kept else data
        self._kept = b""
        if not self._in_body:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > _MAX_HEAD:
                    raise ValueError("a head without end")
                self._kept = data
                return False
            self._begin(data[: end + 2])
            data = data[end + 4 :]
        is_over = self._chunks(data) if self._chunked else self._counted(data)
        self._in_body = not is_over
        return is_over

    def ended(self) -> bool:
        """The connection has ended; True when that completes the answer."""
        return self._in_body and not self._chunked and self._missing is None

    def _begin(self, head: bytes) -> None:
        found = _STATUS.match(head)
        if found is None:
            raise ValueError("an answer that is not HTTP/1.1")
        self.status, self.pieces, self.is_last = int(found[1]), 0, _CLOSE.search(head) is not None
        self._chunked = _CHUNKED.search(head) is not None
        length = _LENGTH.search(head)
        if self._chunked:
            self._missing = 0
        elif length is not None:
            self._missing = int(length[1])
        else:
            self._missing = 0 if self.status in (204, 304) else None

    def _counted(self, data: bytes) -> bool:
        if self._missing is None:
            return False
        self._missing -= len(data)
        if self._missing < 0:
            raise ValueError("bytes after the answer")
        return self._missing == 0

    def _chunks(self, data: bytes) -> bool:
        at = 0
        while True:
            assert self._missing is not None
            if self._missing:
                taken = min(self._missing, len(data) - at)
                self._missing -= taken
                at += taken
                if self._missing:
                    return False
            line_end = data.find(b"\r\n", at)
            if line_end < 0:
                self._kept = data[at:]
                return False
            size = int(data[at:line_end].partition(b";")[0], 16)
            if size == 0:
                return self._last_chunk(data, at, line_end)
            self.pieces += 1
            self._missing = size + 2
            at = line_end + 2

    def _last_chunk(self, data: bytes, at: int, line_end: int) -> bool:
        if data[line_end : line_end + 4] == b"\r\n\r\n":
            end = line_end + 4
        else:  # trailers, or not all of it yet
            trailers_end = data.find(b"\r\n\r\n", line_end)
            if trailers_end < 0:
                self._kept = data[at:]
                return False
            end = trailers_end + 4
        if end != len(data):
            raise ValueError("bytes after the answer")
        return True
