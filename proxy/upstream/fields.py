"""Fields on their way to pyreqwest and back. It takes and gives text, where the wire has bytes.

Rules: what is UTF-8 goes out byte for byte, ASCII included; what is older becomes UTF-8. Of an answer, fields with
other bytes than ASCII cannot be had at all, and are left out: an answer without them is better than none.
"""

import contextlib

from pyreqwest.response import Response as WireResponse

from proxy.exchange.headers import HOP_BY_HOP, HeaderList


def text_of(value: bytes) -> str:
    """A field's value, which pyreqwest sends as UTF-8: so those bytes stay as they are. Older codings become UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def fields_of(answer: WireResponse) -> tuple[HeaderList, int | None]:
    """The answer's fields without those that belong to the connection, and the length it declared."""
    headers: HeaderList = []
    length: int | None = None
    for name, value in _readable(answer):
        field = name.encode("latin-1")
        if field == b"content-length":
            length = int(value) if value.isdigit() else None
        elif field not in HOP_BY_HOP:
            headers.append((field, value.encode("latin-1")))
    return headers, length


def _readable(answer: WireResponse) -> list[tuple[str, str]]:
    """All fields, without those that hold other bytes than ASCII: pyreqwest cannot give them to us."""
    try:
        return list(answer.headers.items())
    except ValueError:
        pairs: list[tuple[str, str]] = []
        for name in dict.fromkeys(answer.headers.keys()):
            with contextlib.suppress(ValueError):
                pairs += [(name, value) for value in answer.headers.getall(name)]
        return pairs
