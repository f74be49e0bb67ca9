"""Shows an answer to a usage reader in every way it can arrive."""

import json
from collections.abc import Callable

from proxy.exchange.provider import UsageReader
from proxy.exchange.usage import Usage


def read_all_ways(make: Callable[[], UsageReader], body: bytes) -> tuple[Usage | None, bool]:
    """What the reader says of `body`: whole, byte by byte, and in sevens it must say the same."""
    said: list[tuple[Usage | None, bool]] = []
    for size in (len(body) or 1, 1, 7):
        reader = make()
        for start in range(0, len(body), size):
            reader.feed(body[start : start + size])
        said.append((reader.usage(), reader.is_complete()))
    assert said[0] == said[1] == said[2]
    return said[0]


def fed(reader: UsageReader, *pieces: bytes) -> UsageReader:
    """The reader after these pieces."""
    for piece in pieces:
        reader.feed(piece)
    return reader


def sse(*events: tuple[str, object], name: bool = True) -> bytes:
    """Server-sent events of (event name, JSON value)."""
    lines = []
    for kind, value in events:
        head = f"event: {kind}\n" if name and kind else ""
        lines.append(f"{head}data: {json.dumps(value, separators=(',', ':'))}\n\n")
    return "".join(lines).encode()


def dumped(value: object) -> bytes:
    """Compact JSON, as servers send it."""
    return json.dumps(value, separators=(",", ":")).encode()
