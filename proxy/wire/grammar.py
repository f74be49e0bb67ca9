"""The grammar both HTTP codecs share: tokens, field values, targets, authorities, lengths (RFC 9110, RFC 9112).

Rules: pure functions over bytes. What does not fit the grammar raises `Rejected` with the status to answer and a
constant reason; nothing is repaired, because a message that two parsers read differently is how requests are smuggled.
"""

import re

from proxy.exchange.headers import HeaderList

# A length of 18 digits fits every integer type that may see it; longer ones are only sent to overflow somebody.
MAX_LENGTH_DIGITS = 18

# RFC 9110, section 6.5.1: what frames, routes or authorizes a message must not come after its body.
FORBIDDEN_TRAILERS = frozenset(
    {
        b"authorization",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"host",
        b"keep-alive",
        b"max-forwards",
        b"proxy-authorization",
        b"proxy-connection",
        b"range",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
TOKEN = re.compile(_TOKEN)
FIELD_LINE = re.compile(rb"(" + _TOKEN + rb"):([\t\x20-\x7e\x80-\xff]*+)")
FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*+")

# Visible ASCII without "#": a fragment is never sent, and a parser further on would cut the target there.
TARGET = re.compile(rb"[!\"$-~]++")

# A host with an optional port. No userinfo, no comma, no slash: nothing that a second reader could split elsewhere.
AUTHORITY = re.compile(rb"(?:[A-Za-z0-9.\-_~%!$&'()*+;=]*+|\[[0-9A-Fa-f:.]++\])(?::[0-9]{0,5})?")


class Rejected(Exception):
    """A message that is refused. `reason` is a constant phrase."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def parse_length(value: bytes) -> int:
    """The number in a Content-Length value. Raises Rejected for anything but plain digits."""
    if not value.isdigit() or len(value) > MAX_LENGTH_DIGITS:
        raise Rejected(400, "malformed content-length")
    return int(value)


def check_authority(value: bytes) -> None:
    """Raise Rejected unless `value` is a host with an optional port. An empty host is allowed (RFC 9112, 3.2)."""
    if not AUTHORITY.fullmatch(value):
        raise Rejected(400, "malformed host")


def check_target(target: bytes) -> None:
    """Raise Rejected unless `target` is made of the characters a request target may have."""
    if not TARGET.fullmatch(target):
        raise Rejected(400, "malformed request target")


def check_trailers(trailers: HeaderList) -> None:
    """Raise Rejected when a trailer field is one that must stand before the body."""
    for name, _ in trailers:
        if name in FORBIDDEN_TRAILERS:
            raise Rejected(400, "forbidden trailer field")


def expects_continue(value: bytes | None) -> bool:
    """True for `100-continue`, False without an expectation. Raises Rejected(417) for any other."""
    if value is None:
        return False
    if value.lower() != b"100-continue":
        raise Rejected(417, "unknown expectation")
    return True
