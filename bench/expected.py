"""Is this the answer that the call must have? Byte for byte, or in what it says.

Rules: pure but for the last answer, which is kept, as making it anew would slow the load side. Meaning is for
contestants that write answers anew, or compress them: the same call's id, and the same text.
"""

import gzip
import zlib
from typing import Final

import orjson

from bench.work import answer

_GZIP: Final = b"\x1f\x8b"


class Expected:
    """The answers to one kind of call."""

    __slots__ = ("_bytes", "_is_faithful", "_kept", "_number")

    def __init__(self, answer_bytes: int, *, is_faithful: bool) -> None:
        self._bytes = answer_bytes
        self._is_faithful = is_faithful
        self._number = -1
        self._kept = b""

    def is_right(self, number: int, body: bytes) -> bool:
        """Whether `body` answers call `number`."""
        if number != self._number:
            self._number, self._kept = number, answer(number, self._bytes)
        return body == self._kept or (not self._is_faithful and _says(body) == _says(self._kept))


def _says(body: bytes) -> tuple[str, str] | None:
    """The id and the text of an answer; None when it is none."""
    try:
        if body.startswith(_GZIP):
            body = gzip.decompress(body)
        whole = orjson.loads(body)
        return str(whole["id"]), str(whole["choices"][0]["message"]["content"])
    except (OSError, EOFError, zlib.error, ValueError, KeyError, IndexError, TypeError):
        return None
