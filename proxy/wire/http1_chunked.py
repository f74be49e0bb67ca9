"""Takes the chunked coding off a request's body (RFC 9112, section 7.1).

Rules: a size is 1 to 15 hexadecimal digits, an extension is bounded and ignored, every line ends in CRLF, and the
trailer section is bounded and free of fields that belong before the body. Bytes that are sound come out even when
what follows them is not: `error` is then set, and no more is read.
"""

import re
from enum import Enum, auto

from proxy.exchange.headers import HeaderList
from proxy.wire.events import WireLimits
from proxy.wire.grammar import Rejected, check_trailers
from proxy.wire.http1_head import parse_field

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:;[\t\x20-\x7e\x80-\xff]*+)?)")
_MAX_SIZE_LINE = 256  # nobody uses extensions; this is room for a signature (AWS signs chunks in about 90 bytes)
_MAX_EXTENSION_BYTES = 65_536  # over a whole body: tiny chunks with long extensions only serve to keep us busy
_MAX_TRAILER_BYTES = 8_192  # checksums and signatures take a few hundred


class _Expect(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILERS = auto()


class ChunkedReader:
    """Feed it the body's bytes. When `done`, `rest` holds what follows the body."""

    __slots__ = (
        "_expect",
        "_extension_bytes",
        "_left",
        "_max_fields",
        "_max_trailers",
        "_pending",
        "done",
        "error",
        "rest",
        "trailers",
    )

    def __init__(self, limits: WireLimits) -> None:
        self._expect = _Expect.SIZE
        self._pending = b""
        self._left = 0
        self._extension_bytes = 0
        self._max_fields = limits.max_header_fields
        self._max_trailers = min(limits.max_head_bytes, _MAX_TRAILER_BYTES)
        self.done = False
        self.error: Rejected | None = None
        self.rest = b""
        self.trailers: HeaderList = []

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`. Not to be called once `done` or after an `error`."""
        if self._pending:
            data = self._pending + data
            self._pending = b""
        pieces: list[bytes] = []
        position = 0
        try:
            while position >= 0 and not self.done:
                if self._expect is _Expect.DATA:
                    position = self._data(data, position, pieces)
                elif self._expect is _Expect.SIZE:
                    position = self._size(data, position)
                elif self._expect is _Expect.DATA_END:
                    position = self._data_end(data, position)
                else:
                    position = self._trailers(data, position)
        except Rejected as exc:
            self.error = exc
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _wait(self, data: bytes, position: int) -> int:
        """Keep an unfinished line until more of it comes."""
        self._pending = data[position:]
        return -1

    def _data(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        piece = data[position : position + self._left]
        if not piece:
            return -1
        pieces.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._expect = _Expect.DATA_END
        return position + len(piece)

    def _data_end(self, data: bytes, position: int) -> int:
        ending = data[position : position + 2]
        if not b"\r\n".startswith(ending):
            raise Rejected(400, "chunk without its end")
        if len(ending) < 2:
            return self._wait(data, position)
        self._expect = _Expect.SIZE
        return position + 2

    def _size(self, data: bytes, position: int) -> int:
        end = data.find(b"\r\n", position, position + _MAX_SIZE_LINE + 2)
        if end < 0:
            if len(data) - position > _MAX_SIZE_LINE + 1 or data.find(b"\n", position) >= 0:
                raise Rejected(400, "malformed chunk size")
            return self._wait(data, position)
        match = _SIZE_LINE.fullmatch(data, position, end)
        if match is None:
            raise Rejected(400, "malformed chunk size")
        self._extension_bytes += len(match[2])
        if self._extension_bytes > _MAX_EXTENSION_BYTES:
            raise Rejected(400, "chunk extensions too long")
        self._left = int(match[1], 16)
        self._expect = _Expect.DATA if self._left else _Expect.TRAILERS
        return end + 2

    def _trailers(self, data: bytes, position: int) -> int:
        if data.startswith(b"\r\n", position):
            return self._finish(data, position + 2)
        end = data.find(b"\r\n\r\n", position, position + self._max_trailers + 4)
        if end < 0:
            if len(data) - position > self._max_trailers + 3:
                raise Rejected(431, "trailer section too large")
            if data.count(b"\n", position) != data.count(b"\r\n", position):
                raise Rejected(400, "line without CRLF")
            return self._wait(data, position)
        lines = data[position:end].split(b"\r\n")
        if len(lines) > self._max_fields:
            raise Rejected(431, "too many trailer fields")
        self.trailers = [parse_field(line) for line in lines]
        check_trailers(self.trailers)
        return self._finish(data, end + 4)

    def _finish(self, data: bytes, position: int) -> int:
        self.done = True
        self.rest = data[position:]
        return position
