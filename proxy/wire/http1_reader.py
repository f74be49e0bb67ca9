"""The receiving half of the HTTP/1.x server codec: bytes in, request events out.

Rules: one request at a time; what comes after it is kept until `resume`. The first breach ends in one `BadRequest`,
after which nothing is read. However the bytes are cut up, the same events come out (pieces of a body aside). A head
that repeats the last one byte for byte says the same, and is not parsed again; of one that differs from an earlier one
in a few values only those are. Events are never changed by who gets them.
"""

from enum import Enum, auto

from proxy.wire.events import BadRequest, Event, RequestData, RequestEnd, RequestHead, WireLimits
from proxy.wire.grammar import Rejected
from proxy.wire.http1_alike import KnownHead
from proxy.wire.http1_chunked import ChunkedReader
from proxy.wire.http1_head import FieldMemory, parse_head

_MAX_EMPTY_LINES = 2  # RFC 9112, section 2.2: at least one; old clients send a CRLF after a body
_REMEMBERED_HEAD_BYTES = 4_096  # clients repeat their heads; two a connection are kept
_NO_CONTROLS = bytes([0x09, 0x0A, 0x0D, *range(0x20, 0x7F), *range(0x80, 0x100)])


class _Phase(Enum):
    HEAD = auto()
    LENGTH = auto()
    CHUNKED = auto()
    COMPLETE = auto()  # until `resume`
    RAW = auto()  # after an upgrade or CONNECT head: not HTTP any more
    BROKEN = auto()


class Http1Reader:
    """See the module's docstring. `head` is the request being read or answered; None before the first."""

    __slots__ = (
        "_chunks",
        "_empty_lines",
        "_eof",
        "_known",
        "_last",
        "_left",
        "_limits",
        "_memory",
        "_pending",
        "_phase",
        "_scanned",
        "head",
        "keep_alive",
    )

    def __init__(self, limits: WireLimits, memory: FieldMemory) -> None:
        self._limits = limits
        self._memory = memory
        self._pending = bytearray()
        self._scanned = 0  # how much of an unfinished head in `_pending` is known to hold no end
        self._phase = _Phase.HEAD
        self._chunks: ChunkedReader | None = None
        self._left = 0
        self._empty_lines = 0
        self._eof = False
        self._last: tuple[bytes, RequestHead, bool] | None = None  # a head as it came, and what it says
        self._known: KnownHead | None = None  # the last one that had to be parsed
        self.head: RequestHead | None = None
        self.keep_alive = True

    @property
    def is_complete(self) -> bool:
        """A request was read to its end, and not yet left behind by `resume`."""
        return self._phase is _Phase.COMPLETE

    @property
    def is_idle(self) -> bool:
        """Nothing of a request has come since the last one."""
        return self._phase is _Phase.HEAD and not self._pending

    @property
    def is_drained(self) -> bool:
        """The client will send no more, and nothing it sent waits."""
        return self._eof and not self._pending

    def buffered(self) -> int:
        """Bytes received and not parsed."""
        return len(self._pending)

    def take_unparsed(self) -> bytes:
        """Bytes that came after an upgrade or CONNECT head, since the last call."""
        if self._phase is not _Phase.RAW:
            return b""
        taken = bytes(self._pending)
        self._pending.clear()
        return taken

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the client."""
        phase = self._phase
        if phase is _Phase.HEAD:
            return self._receive_head(data)
        if phase is _Phase.LENGTH:
            return self._receive_length(data, [])
        if phase is _Phase.CHUNKED:
            return self._receive_chunks(data, [])
        if phase is not _Phase.BROKEN:
            self._pending += data
        return []

    def receive_eof(self) -> list[Event]:
        """The client sends no more: a request that is not complete is broken."""
        self._eof = True
        if self._phase in (_Phase.LENGTH, _Phase.CHUNKED):
            return self._break(Rejected(400, "request body cut off"))
        if self._phase is _Phase.HEAD and self._pending:
            return self._break(Rejected(400, "request head cut off"))
        return []

    def resume(self) -> list[Event]:
        """Go on to the next request with what is kept. Only when complete."""
        self._phase = _Phase.HEAD
        self._empty_lines = 0
        self.head = None
        if not self._pending:
            return []
        events = self._take_head()
        if self._eof:
            events += self.receive_eof()
        return events

    def _take_head(self) -> list[Event]:
        """A head from what is kept. Only its own bytes are moved: a client may have sent thousands of requests at once,
        and moving all of them for each would cost the square of that."""
        kept = self._pending
        end = kept.find(b"\r\n\r\n")
        if end < 0 or kept.startswith(b"\r\n"):
            whole = bytes(kept)
            kept.clear()
            return self._receive_head(whole)
        try:
            if end > self._limits.max_head_bytes:
                raise self._oversize(bytes(kept))
            head = self._parse(bytes(kept[: end + 4]))
        except Rejected as exc:
            return self._break(exc)
        del kept[: end + 4]
        length = head.content_length if head.has_body else 0
        size = len(kept) if length is None else min(length, len(kept))
        body = bytes(kept[:size])
        del kept[:size]
        return self._begin_body(head, body)

    def _break(self, why: Rejected) -> list[Event]:
        self._phase = _Phase.BROKEN
        self._pending.clear()
        self.keep_alive = False
        return [BadRequest(why.status, why.reason)]

    def _receive_head(self, data: bytes) -> list[Event]:
        last = self._last
        if last is not None and not self._pending and data.startswith(last[0]):
            self.head, self.keep_alive = last[1], last[2]
            return self._begin_body(last[1], data[len(last[0]) :])
        try:
            if self._pending:
                self._pending += data
                if not self._pending.startswith(b"\r\n") and not self._head_ended():
                    return []
                data = bytes(self._pending)
                self._pending.clear()
            start = self._skip_empty_lines(data) if data.startswith(b"\r\n") else 0
            end = data.find(b"\r\n\r\n", start)
            if end < 0:
                self._pending += data[start:]
                self._scanned = 0
                self._head_ended()
                return []
            if end - start > self._limits.max_head_bytes:
                raise self._oversize(data[start:end])
            head = self._parse(data[start : end + 4])
        except Rejected as exc:
            return self._break(exc)
        return self._begin_body(head, data[end + 4 :])

    def _parse(self, raw: bytes) -> RequestHead:
        """A head with its empty line. Raises Rejected."""
        known = self._known
        head = None if known is None else known.read(raw)
        if head is None or known is None:
            head, keep_alive = parse_head(raw[:-4], self._limits, self._memory)
            if len(raw) <= _REMEMBERED_HEAD_BYTES:
                self._known = KnownHead(raw, head, keep_alive=keep_alive)
        else:
            keep_alive = known.keep_alive
        self.head, self.keep_alive = head, keep_alive
        if len(raw) <= _REMEMBERED_HEAD_BYTES:
            self._last = (raw, head, keep_alive)
        return head

    def _skip_empty_lines(self, data: bytes) -> int:
        start = 0
        while data.startswith(b"\r\n", start):
            start += 2
            self._empty_lines += 1
            if self._empty_lines > _MAX_EMPTY_LINES:
                raise Rejected(400, "empty lines instead of a request")
        return start

    def _head_ended(self) -> bool:
        """True when `_pending` holds a whole head. Refuses at once what can no longer become one."""
        pending, scanned = self._pending, self._scanned
        if pending.find(b"\r\n\r\n", max(scanned - 3, 0)) >= 0:
            return True
        if len(pending) - 3 > self._limits.max_head_bytes:
            raise self._oversize(bytes(pending))
        # A client that ends its lines in LF alone would otherwise wait for ever, as would one that speaks TLS to us.
        if pending.count(b"\n", scanned) != pending.count(b"\r\n", max(scanned - 1, 0)):
            raise Rejected(400, "line without CRLF")
        if pending[scanned:].translate(None, _NO_CONTROLS):
            raise Rejected(400, "control character in the head")
        self._scanned = len(pending)
        return False

    def _oversize(self, head: bytes) -> Rejected:
        if head.find(b"\r\n", 0, self._limits.max_head_bytes) < 0:
            return Rejected(414, "request target too long")
        return Rejected(431, "request head too large")

    def _begin_body(self, head: RequestHead, rest: bytes) -> list[Event]:
        events: list[Event] = [head]
        if not head.has_body:
            self._phase = _Phase.RAW if head.upgrade else _Phase.COMPLETE
            self._pending += rest
            events.append(RequestEnd(0))
            return events
        if head.content_length is None:
            self._phase = _Phase.CHUNKED
            self._chunks = ChunkedReader(self._limits)
            return self._receive_chunks(rest, events) if rest else events
        self._phase = _Phase.LENGTH
        self._left = head.content_length
        return self._receive_length(rest, events) if rest else events

    def _receive_length(self, data: bytes, events: list[Event]) -> list[Event]:
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            events.append(RequestData(0, data))
            return events
        if len(data) > left:
            self._pending += data[left:]
            data = data[:left]
        self._phase = _Phase.COMPLETE
        events.append(RequestData(0, data))
        events.append(RequestEnd(0))
        return events

    def _receive_chunks(self, data: bytes, events: list[Event]) -> list[Event]:
        chunks = self._chunks
        assert chunks is not None
        body = chunks.feed(data)
        if body:
            events.append(RequestData(0, body))
        if chunks.error:
            events += self._break(chunks.error)
        elif chunks.done:
            self._phase = _Phase.COMPLETE
            self._pending += chunks.rest
            events.append(RequestEnd(0, chunks.trailers))
        return events
