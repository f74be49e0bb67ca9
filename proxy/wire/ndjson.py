"""Cuts a stream of lines (NDJSON, JSON lines) into its lines, without reading what is in them.

Rules: lines end in LF; a CR before it and empty lines are dropped. A line beyond the bound ends the reading for good.
"""

MAX_LINE_BYTES = 4_194_304  # a final Ollama line repeats the context as numbers: 100,000 tokens are about 700 KB


class LineReader:
    """Feed it a stream's bytes. `overflowed` is set when a line grew beyond `max_line_bytes`."""

    __slots__ = ("_max_line_bytes", "_pending", "overflowed")

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._pending = bytearray()
        self.overflowed = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now, without their ends."""
        if self.overflowed:
            return []
        head, end, tail = data.rpartition(b"\n")
        if not end:
            self._pending += tail
            self._check(len(self._pending))
            return []
        head = bytes(self._pending) + head
        self._pending = bytearray(tail)
        lines: list[bytes] = []
        for line in head.split(b"\n"):
            stripped = line.removesuffix(b"\r")
            if not self._check(len(line)):
                return lines
            if stripped:
                lines.append(stripped)
        self._check(len(tail))
        return lines

    def rest(self) -> bytes:
        """Bytes after the last line end: a last line that has none."""
        return bytes(self._pending)

    def _check(self, length: int) -> bool:
        if length <= self._max_line_bytes:
            return True
        self.overflowed = True
        self._pending.clear()
        return False
