"""The bytes of the calls: one chat completion, asked again (hits), asked anew (forwards), or streamed.

Rules: prepared once, completed for each call by its number, so that making one costs next to nothing. A body of the
user's own is sent as it is, with `{n}` replaced by the number of the call where calls must differ.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import orjson

from proxy.load.destination import Origin

_NOTE: Final = "Lorem ipsum dolor sit amet. " * 16
_PLACE: Final = b"{n}"


class Work(StrEnum):
    """What is asked."""

    HITS = "hits"
    FORWARDS = "forwards"
    STREAMS = "streams"


class Calls:
    """Makes requests. `absolute`: for a proxy that is asked for http:// itself."""

    def __init__(
        self, origin: Origin, work: Work, *, body: bytes | None, fields: Sequence[tuple[str, str]], absolute: bool
    ) -> None:
        self._repeats = work is Work.HITS
        self._body = body if body is not None else _chat(work)
        target = f"{origin.scheme}://{origin.authority}{origin.path}" if absolute else origin.path
        default_port = {"http": 80, "https": 443}[origin.scheme]
        host = origin.authority if origin.port != default_port else origin.authority.rpartition(":")[0]
        lines = [f"POST {target} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", "Accept: */*"]
        if not any(name.lower() == "authorization" for name, _ in fields):
            lines.append("Authorization: Bearer sk-skinflint-bench")
        lines += [f"{name}: {value}" for name, value in fields]
        self._head = "\r\n".join(lines).encode() + b"\r\nContent-Length: %d\r\n\r\n"

    def make(self, number: int) -> bytes:
        """Call `number`; the same one each time when answers are to be repeated."""
        body = self._body.replace(_PLACE, b"%010d" % (0 if self._repeats else number))
        return self._head % len(body) + body


def _chat(work: Work) -> bytes:
    asked: dict[str, object] = {"model": "gpt-4o-mini", "temperature": 0, "max_tokens": 40}
    if work is Work.STREAMS:
        asked["stream"] = True
    asked["messages"] = [{"role": "user", "content": f"Call {{n}}. Answer in one sentence: {_NOTE}"}]
    return orjson.dumps(asked)
