"""Reads the usage of streams that are lines of JSON.

Rules: what to look for in a line comes as a StreamShape, as it does for server-sent events. A last line without its end
counts when it is a whole object. A line above 1 MiB ends the search, and the answer is not complete.
"""

from proxy.exchange.usage import Usage
from proxy.providers.fields import parse
from proxy.providers.readers import LIMIT_BYTES, StreamShape
from proxy.wire.ndjson import LineReader


class LinesUsageReader:
    """Lines that are JSON objects, as a StreamShape describes them."""

    def __init__(self, shape: StreamShape) -> None:
        self._lines = LineReader(LIMIT_BYTES)
        self._is_of_interest = shape.is_of_interest
        self._shape = shape
        self._usage: Usage | None = None
        self._has_ended = False
        self._has_failed = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        for line in self._lines.feed(data):
            if self._is_of_interest(line):
                self._take(line)
        if self._lines.overflowed:
            self._usage, self._has_failed = None, True

    def usage(self) -> Usage | None:
        """The last report."""
        self._take(self._lines.rest())
        return self._usage

    def is_complete(self) -> bool:
        """True after the stream's own end, unless an error came before it."""
        self._take(self._lines.rest())
        return self._has_ended and not self._has_failed

    def _take(self, line: bytes) -> None:
        document = parse(line) if line else None
        if document is None:
            return
        if self._shape.fails(document):
            self._has_failed = True
        elif self._shape.ends(document):
            self._has_ended = True
        self._usage = self._shape.read(document) or self._usage
