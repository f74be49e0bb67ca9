"""Reading HTTP/1.1 answers as fast as Python can: whole ones by one search, streamed ones piece by piece.

Rules: sans-io. A status other than 200, a broken chunk or bytes after an answer raise BenchFailed; the caller compares
the body. Streams are checked event by event: each sequence number once and in order, and the end marker.
"""

import re
from typing import Final

from bench.failures import BenchFailed

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_MARK: Final = re.compile(rb"e=(\d{6}) at=(\d{20})")
_OK: Final = b"HTTP/1.1 200"


def _checked(data: bytes, end: int) -> bytes:
    """The head, with one line end behind its last field."""
    if not data.startswith(_OK):
        raise BenchFailed(f"not a 200: {data[:400]!r}")
    return data[: end + 2]


class WholeReader:
    """Reads one answer after another on a connection that asks one thing at a time."""

    __slots__ = ("_kept", "_missing", "_parts")

    def __init__(self) -> None:
        self._kept = b""
        self._parts: list[bytes] = []  # of a body whose length is known
        self._missing = 0

    def feed(self, data: bytes) -> bytes | None:
        """The body once the answer is complete, else None."""
        if self._missing:
            return self._more(data)
        if self._kept:
            data = self._kept + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._kept = data
            return None
        head = _checked(data, end)
        if (found := _LENGTH.search(head)) is not None:
            self._kept = b""
            self._missing = int(found[1])
            return self._more(data[end + 4 :])
        if _CHUNKED.search(head) is not None:
            chunks = ChunkReader()
            pieces = chunks.feed(data[end + 4 :])
            body = b"".join(pieces) if chunks.is_complete else None
        else:
            raise BenchFailed(f"an answer without length: {head!r}")
        self._kept = data if body is None else b""
        return body

    def _more(self, data: bytes) -> bytes | None:
        self._missing -= len(data)
        if self._missing < 0:
            raise BenchFailed("bytes after the answer")
        if self._missing == 0 and not self._parts:
            return data
        self._parts.append(data)
        if self._missing:
            return None
        body = b"".join(self._parts)
        self._parts.clear()
        return body


class ChunkReader:
    """Takes chunked coding off (RFC 9112, section 7.1); no extensions, no trailers."""

    __slots__ = ("_kept", "is_complete")

    def __init__(self) -> None:
        self._kept = b""
        self.is_complete = False

    def feed(self, data: bytes) -> list[bytes]:
        """The chunks that are complete now."""
        if self.is_complete:
            raise BenchFailed("bytes after the last chunk")
        if self._kept:
            data = self._kept + data
        pieces = []
        at = 0
        while (line_end := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:line_end], 16)
            end = line_end + 2 + size
            if len(data) < end + 2:
                break
            if data[end : end + 2] != b"\r\n":
                raise BenchFailed("a chunk does not end where it should")
            at = end + 2
            if size == 0:
                self.is_complete = True
                if at != len(data):
                    raise BenchFailed("bytes after the last chunk")
                break
            pieces.append(data[line_end + 2 : end])
        self._kept = data[at:]
        return pieces


class StreamReader:
    """Reads one streamed answer. `delays_ns` has one entry for each event, in order."""

    __slots__ = ("_chunks", "_kept", "_tail", "delays_ns", "is_complete", "saw_done")

    def __init__(self) -> None:
        self._kept = b""  # of the head, then of an event that is not complete
        self._chunks: ChunkReader | None = None
        self._tail = b""
        self.delays_ns: list[int] = []
        self.saw_done = False
        self.is_complete = False

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take bytes that were read at `now_ns` on the clock of the events' marks."""
        if self._chunks is None:
            data = self._kept + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._kept = data
                return
            if _CHUNKED.search(_checked(data, end)) is None:
                raise BenchFailed("a stream that is not chunked")
            self._kept = b""
            self._chunks = ChunkReader()
            data = data[end + 4 :]
        if data:
            pieces = self._chunks.feed(data)
            self._events(b"".join(pieces), now_ns)
            self.is_complete = self._chunks.is_complete

    def _events(self, text: bytes, now_ns: int) -> None:
        text = self._tail + text
        end = text.rfind(b"\n\n") + 2
        if end < 2:
            self._tail = text
            return
        self._tail = text[end:]
        for mark in _MARK.finditer(text, 0, end):
            if int(mark[1]) != len(self.delays_ns):
                raise BenchFailed(f"event {int(mark[1])} came where {len(self.delays_ns)} was due")
            self.delays_ns.append(now_ns - int(mark[2]))
        if text.endswith(b"data: [DONE]\n\n", 0, end):
            self.saw_done = True
