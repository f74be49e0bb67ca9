"""Cuts a server-sent event stream into its events (WHATWG HTML, section 9.2) without touching their bytes.

Rules: lines may end in LF, CRLF or CR, mixed, and may be cut anywhere; a byte order mark at the start is dropped. An
event comes out as soon as its blank line is there, without that line and without the line end before it. What carries
only comments comes out too. A stream that shows no end of an event within the bound is given up for good.
"""

import re

MAX_EVENT_BYTES = 1_048_576  # text events are below 100 KB; one with a whole image is relayed, but not read

_BOM = b"\xef\xbb\xbf"
_MAX_SURROUNDING_BYTES = 8  # a byte order mark, a line end before the event and an unfinished blank line after it
_LINE_END = re.compile(rb"\r\n|\n|\r")
# Atomic groups: a CRLF must not be taken apart into two line ends.
BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


class SseSplitter:
    """Feed it a stream's bytes. `overflowed` is set when an event grew beyond `max_event_bytes`."""

    __slots__ = ("_at_start", "_max_event_bytes", "_pending", "_scanned", "_skip_lf", "overflowed")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._pending = bytearray()
        self._scanned = 0  # bytes of `_pending` in which no blank line starts
        self._at_start = True
        self._skip_lf = False  # the last blank line ended in CR: a LF now would be its second half
        self.overflowed = False

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are complete now."""
        if self.overflowed or not data:
            return []
        if self.is_between_events and b"\r" not in data and not data.startswith(b"\n"):
            end = data.find(b"\n\n")
            if 0 < end == len(data) - 2 and end <= self._max_event_bytes:
                return [data[:end]]
        return self._feed_slowly(data)

    @property
    def is_between_events(self) -> bool:
        """Nothing is held back, and nothing that comes can belong to what went before."""
        return not (self._pending or self._at_start or self._skip_lf)

    def rest(self) -> bytes:
        """Bytes of an event that has not ended. After an overflow: all that was fed up to it and did not come out, for
        those who pass the stream on; what is fed later is not kept."""
        return bytes(self._pending).removeprefix(_BOM) if self._at_start else bytes(self._pending)

    def _feed_slowly(self, data: bytes) -> list[bytes]:
        if self._skip_lf:
            self._skip_lf = False
            data = data.removeprefix(b"\n")
        pending = self._pending
        pending += data
        events: list[bytes] = []
        start = 0
        for match in BLANK_LINE.finditer(pending, max(self._scanned - 3, 0)):
            event = bytes(pending[start : match.start()])
            if self._at_start:
                self._at_start = False
                event = event.removeprefix(_BOM)
            event = event.lstrip(b"\r\n")
            if len(event) > self._max_event_bytes:
                return self._give_up(events, start)
            start = match.end()
            if event:
                events.append(event)
        if start:
            self._skip_lf = start == len(pending) and pending.endswith(b"\r")
            del pending[:start]
        self._scanned = len(pending)
        if len(pending) > self._max_event_bytes + _MAX_SURROUNDING_BYTES:
            return self._give_up(events, 0)
        return events

    def _give_up(self, events: list[bytes], start: int) -> list[bytes]:
        self.overflowed = True
        self._pending = self._pending[start:]  # not cut in place: it may still be lent to the search
        return events


def data_of(event: bytes) -> bytes:
    """The event's data: its `data` lines joined by LF."""
    if event.startswith(b"data: ") and b"\n" not in event and b"\r" not in event:
        return event[6:]
    values = []
    for line in _LINE_END.split(event):
        name, _, value = line.partition(b":")
        if name == b"data":
            values.append(value.removeprefix(b" "))
    return b"\n".join(values)
