"""HTTP/1.1 for the bench's upstream: requests with a length, answers with a length or in chunks.

Rules: sans-io; one request at a time, as our clients and contestants send them.
"""

import re
from typing import Final

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Http1Requests:
    """Cuts requests out of a connection's bytes and gives their bodies."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> bytes | None:
        """The body of the request that is complete now, or None."""
        data = self._pending + data
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            found = _LENGTH.search(data, 0, end)
            size = int(found[1]) if found else 0
            if len(data) >= end + 4 + size:
                self._pending = data[end + 4 + size :]
                return data[end + 4 : end + 4 + size]
        self._pending = data
        return None


def head(fields: list[tuple[bytes, bytes]], length: int | None) -> bytes:
    """The head of a 200."""
    framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
    lines = b"".join([b"%s: %s\r\n" % field for field in fields])
    return b"HTTP/1.1 200 OK\r\n%s%s\r\n\r\n" % (lines, framing)


def chunk(payload: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%s\r\n" % (len(payload), payload)


LAST_CHUNK: Final = b"0\r\n\r\n"
