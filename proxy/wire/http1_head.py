"""Reads the head of an HTTP/1.x request (RFC 9112, sections 2, 3, 5 and 6) and decides how its body is framed.

Rules: strict. Lines end in CRLF and nothing else, no folding, no space before a colon, one Host, one framing; each
breach raises `Rejected`. Field lines that have come before are looked up instead of parsed again: SDKs
repeat nearly all of them, and this takes a third of the time.
"""

import re

from proxy.exchange.headers import HeaderList
from proxy.wire.events import RequestHead, WireLimits
from proxy.wire.grammar import (
    AUTHORITY,
    FIELD_LINE,
    TOKEN,
    Rejected,
    check_authority,
    check_target,
    expects_continue,
    parse_length,
)

_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_SINGLE = frozenset({b"host", b"content-length", b"transfer-encoding"})
_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*+://([^/?]*+)")

_REMEMBERED_LINES = 256  # a head has about 15; beyond this the memory starts afresh
_REMEMBERED_LINE_BYTES = 2_048  # bearer tokens fit; longer lines are not worth keeping


class FieldMemory:
    """Field lines that clients have sent, already parsed. Bounded. A process has one for all connections: a thousand of
    them say much the same."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[bytes, bytes]] = {}

    def parse(self, lines: list[bytes]) -> HeaderList:
        """The fields of these lines (without their CRLF). Raises Rejected at the first malformed one."""
        get, learn = self._known.get, self._learn
        return [get(line) or learn(line) for line in lines]

    def _learn(self, line: bytes) -> tuple[bytes, bytes]:
        field = parse_field(line)
        if len(line) <= _REMEMBERED_LINE_BYTES:
            if len(self._known) >= _REMEMBERED_LINES:
                self._known.clear()
            self._known[line] = field
        return field


def parse_field(line: bytes) -> tuple[bytes, bytes]:
    """Name in lower case and value without surrounding blanks. Raises Rejected."""
    match = FIELD_LINE.fullmatch(line)
    if match is None:
        raise Rejected(400, "malformed header field")
    name, value = match.groups()
    return name.lower(), value.strip(b" \t")


def parse_head(raw: bytes, limits: WireLimits, memory: FieldMemory) -> tuple[RequestHead, bool]:
    """Read a head, given without its last CRLF and empty line. Raises Rejected.

    The second value says whether the client lets the connection be kept.
    """
    lines = raw.split(b"\r\n")
    method, target, is_1_1 = _request_line(lines[0], limits.max_target_bytes)
    del lines[0]
    if len(lines) > limits.max_header_fields:
        raise Rejected(431, "too many header fields")
    headers = memory.parse(lines)
    fields = dict(headers)
    if len(fields) != len(headers):
        fields = _merge(headers)
    authority = _authority(method, target, fields.get(b"host"), is_1_1=is_1_1)
    content_length, has_body = _framing(fields, is_1_1=is_1_1)
    if has_body and method == b"CONNECT":
        raise Rejected(400, "CONNECT with a body")
    expectation = fields.get(b"expect")
    expect_continue = expectation is not None and expects_continue(expectation) and is_1_1
    connection = fields.get(b"connection")
    options = () if connection is None else _options(connection)
    upgrade = method == b"CONNECT" or (b"upgrade" in options and is_1_1 and not has_body and _may_switch(fields))
    keep_alive = not upgrade and b"close" not in options and (is_1_1 or b"keep-alive" in options)
    version = "1.1" if is_1_1 else "1.0"
    head = RequestHead(
        0, method, target, authority, headers, version, content_length, has_body, expect_continue, upgrade
    )
    return head, keep_alive


def _options(connection: bytes) -> tuple[bytes, ...]:
    return tuple([token.strip(b" \t") for token in connection.lower().split(b",")])


def _request_line(line: bytes, max_target_bytes: int) -> tuple[bytes, bytes, bool]:
    parts = line.split(b" ")
    if len(parts) != 3:
        raise Rejected(400, "malformed request line")
    method, target, version = parts
    if not TOKEN.fullmatch(method):
        raise Rejected(400, "malformed method")
    if len(target) > max_target_bytes:
        raise Rejected(414, "request target too long")
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        if _VERSION.fullmatch(version):
            raise Rejected(505, "unsupported HTTP version")
        raise Rejected(400, "malformed request line")
    check_target(target)
    return method, target, version == b"HTTP/1.1"


def _merge(headers: HeaderList) -> dict[bytes, bytes]:
    """Repeated fields joined. Raises Rejected when one that decides framing or routing is repeated, even if equal."""
    merged: dict[bytes, bytes] = {}
    for name, value in headers:
        if name not in merged:
            merged[name] = value
        elif name in _SINGLE:
            raise Rejected(400, "repeated framing or host field")
        else:
            merged[name] += b", " + value
    return merged


def _framing(fields: dict[bytes, bytes], *, is_1_1: bool) -> tuple[int | None, bool]:
    """The declared length, if any, and whether a body follows (RFC 9112, section 6)."""
    length = fields.get(b"content-length")
    codings = fields.get(b"transfer-encoding")
    if codings is None:
        content_length = None if length is None else parse_length(length)
        return content_length, bool(content_length)
    if length is not None:
        raise Rejected(400, "both content-length and transfer-encoding")
    if not is_1_1:
        raise Rejected(400, "transfer-encoding in HTTP/1.0")
    if codings.lower() != b"chunked":
        raise _unreadable(codings)
    return None, True


def _unreadable(codings: bytes) -> Rejected:
    """The refusal of anything but `chunked` alone: 400 for nonsense, 501 for a coding we do not know."""
    tokens = [token.strip(b" \t").lower() for token in codings.split(b",")]
    if b"chunked" in tokens[:-1] or not all(TOKEN.fullmatch(token) for token in tokens):
        return Rejected(400, "malformed transfer-encoding")
    return Rejected(501, "unknown transfer coding")


def _authority(method: bytes, target: bytes, host: bytes | None, *, is_1_1: bool) -> bytes:
    """Whom the request is for. The target's authority wins over the Host field (RFC 9112, section 3.2.2)."""
    if host is None:
        if is_1_1:
            raise Rejected(400, "missing host")
        host = b""
    check_authority(host)
    if method == b"CONNECT":
        named = target
    elif target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return host
    else:
        match = _ABSOLUTE.match(target)
        named = match[1] if match else b""
    if not named or not AUTHORITY.fullmatch(named):
        raise Rejected(400, "malformed request target")
    return named


def _may_switch(fields: dict[bytes, bytes]) -> bool:
    """True when the offered protocol is worth handing the connection over for.

    Offers of h2c come with ordinary calls (Java's client makes them on every plain connection) and may be ignored.
    """
    offers = [offer.strip().lower() for offer in fields.get(b"upgrade", b"").split(b",")]
    return offers != [b""] and b"h2c" not in offers
