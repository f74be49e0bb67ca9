"""Header fields as the wire has them: an ordered list of (name, value) byte pairs, names in lower case.

Rules: field names are compared in lower case (RFC 9110, section 5.1) and are lowered once, by the wire codecs; values
are never changed. Order and repeated fields are kept. A plain list costs nothing to build and nothing to replay, so
these are functions over that list rather than a class.
"""

from collections.abc import Iterable

type HeaderList = list[tuple[bytes, bytes]]

# RFC 9110, section 7.6.1: meant for one connection only. `keep-alive` and `proxy-connection` are older practice.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

# About the message as it came: what goes on has its own.
REPLACED = frozenset({b"host", b"content-length", b"expect"})

_NAMES_NOTHING = frozenset({b"", b"keep-alive", b"close"})  # what Connection nearly always says


def first(headers: HeaderList, name: bytes) -> bytes | None:
    """The first value of the field `name` (in lower case), or None."""
    for key, value in headers:
        if key == name:
            return value
    return None


def text(headers: HeaderList, name: bytes) -> str:
    """The first value of `name` as text (latin-1, stripped), or an empty string."""
    value = first(headers, name)
    return value.decode("latin-1").strip() if value else ""


def joined(headers: HeaderList, name: bytes) -> bytes:
    """All values of a list field, joined by commas as RFC 9110, section 5.2 allows; empty when absent."""
    return b", ".join([value for key, value in headers if key == name])


def without(headers: HeaderList, names: Iterable[bytes]) -> HeaderList:
    """A copy that lacks the given fields (names in lower case)."""
    dropped = frozenset(names)
    return [pair for pair in headers if pair[0] not in dropped]


def end_to_end(headers: HeaderList) -> HeaderList:
    """A copy without hop-by-hop fields, those that `Connection` names included (RFC 9110, section 7.6.1)."""
    named = joined(headers, b"connection")
    if named.lower() in _NAMES_NOTHING:
        return [pair for pair in headers if pair[0] not in HOP_BY_HOP]
    dropped = HOP_BY_HOP | {token.strip().lower() for token in named.split(b",")}
    return [pair for pair in headers if pair[0] not in dropped]


def of_request(headers: HeaderList) -> HeaderList:
    """The fields of a client's request that the chain sees."""
    return [pair for pair in end_to_end(headers) if pair[0] not in REPLACED]
