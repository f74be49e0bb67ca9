"""Reads heads that differ from an earlier one of their connection in a few values: labels, traces, identifiers.

Rules: what frames or routes is never among them, so that all else that the earlier head said holds for the later one.
Only what surely reads as the strict parser would read it is read here; everything else is left to that.
"""

from typing import Final

from proxy.wire.events import Likeness, RequestHead

_DECIDING: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade"}
)  # all that `parse_head` looks at
_MOST_VARYING: Final = 4  # fields
_VALUE_BYTES: Final = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))  # as in grammar.FIELD_LINE


class KnownHead:
    """A head as it came, with its empty line, and what `parse_head` made of it."""

    __slots__ = ("_lines", "_varying", "head", "keep_alive", "raw")

    def __init__(self, raw: bytes, head: RequestHead, *, keep_alive: bool) -> None:
        self.raw = raw
        self.head = head
        self.keep_alive = keep_alive
        self._lines: list[bytes] | None = None  # once they are needed; empty when no other head can be like this one
        self._varying: dict[int, tuple[bytes, bytes]] = {}  # number of a line -> its name and colon; its field's name

    def read(self, raw: bytes) -> RequestHead | None:
        """What another head says, given with its empty line; None when it has to be parsed."""
        before = self._lines
        if before is None:
            before = self._lines = self._split()
        lines = raw.split(b"\r\n")
        expected = before.copy()
        if len(lines) != len(before):
            return None
        for number in self._varying:
            expected[number] = lines[number]
        if lines != expected and not self._learn(lines, before):
            return None
        return self._changed(lines, before)

    def _split(self) -> list[bytes]:
        headers = self.head.headers
        return self.raw.split(b"\r\n") if len(dict(headers)) == len(headers) else []

    def _learn(self, lines: list[bytes], before: list[bytes]) -> bool:
        """Which fields vary. False when it is more than that."""
        varying = self._varying.copy()
        for number, line in enumerate(lines):
            if line == before[number] or number in varying:
                continue
            name = self.head.headers[number - 1][0] if number else b""
            if not name or name in _DECIDING or len(varying) == _MOST_VARYING:
                return False
            varying[number] = (before[number][: len(name) + 1], name)
        self._varying = varying
        return True

    def _changed(self, lines: list[bytes], before: list[bytes]) -> RequestHead | None:
        known = self.head
        headers = known.headers.copy()
        changes = []
        for number, (start, name) in self._varying.items():
            line = lines[number]
            if line == before[number]:
                continue
            value = line[len(start) :]
            if not line.startswith(start) or value.translate(None, _VALUE_BYTES):
                return None
            field = headers[number - 1] = (name, value.strip(b" \t"))
            changes.append(field)
        if not changes:
            return known
        return RequestHead(
            0, known.method, known.target, known.authority, headers, known.http_version, known.content_length,
            known.has_body, known.expect_continue, known.upgrade, Likeness(known, changes),
        )  # fmt: skip
