"""Reads the fields of an HTTP/2 request (RFC 9113, section 8) into a `RequestHead`.

Rules: pure and strict: pseudo fields first and once, names in lower case, no connection-specific field, one authority.
Status 400 of a `Rejected` stands for a malformed request (a stream error); any other is to be answered as such.
"""

from collections.abc import Iterable

from proxy.exchange.headers import HeaderList
from proxy.wire.events import RequestHead, WireLimits
from proxy.wire.grammar import (
    FIELD_VALUE,
    TOKEN,
    Rejected,
    check_authority,
    check_target,
    check_trailers,
    expects_continue,
    parse_length,
)

_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path"})
_CONNECTION_SPECIFIC = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
_SINGLE = frozenset({b"host", b"content-length", b"expect"})


def parse_request(
    stream_id: int, received: Iterable[tuple[bytes, bytes]], limits: WireLimits, *, is_ended: bool
) -> RequestHead:
    """The head in these fields; `is_ended` when no body follows. Raises Rejected."""
    pseudo, headers = _separate(received)
    if len(headers) > limits.max_header_fields:
        raise Rejected(431, "too many header fields")
    fields = _check_fields(headers)
    method = pseudo.get(b":method", b"")
    if not TOKEN.fullmatch(method):
        raise Rejected(400, "malformed method")
    authority = _authority(pseudo, fields)
    target = _target(method, pseudo, authority)
    if len(target) > limits.max_target_bytes:
        raise Rejected(414, "request target too long")
    length = fields.get(b"content-length")
    content_length = None if length is None else parse_length(length)
    if is_ended and content_length:
        raise Rejected(400, "request body cut off")
    return RequestHead(
        stream_id,
        method,
        target,
        authority,
        _with_one_cookie(headers),
        "2",
        content_length,
        not is_ended and content_length != 0,
        expects_continue(fields.get(b"expect")),
        method == b"CONNECT",
    )


def parse_trailers(received: Iterable[tuple[bytes, bytes]], limits: WireLimits) -> HeaderList:
    """The trailer fields. Raises Rejected."""
    trailers = [(name, value) for name, value in received]
    if len(trailers) > limits.max_header_fields:
        raise Rejected(400, "too many trailer fields")
    _check_fields(trailers)
    check_trailers(trailers)
    return trailers


def _separate(received: Iterable[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], HeaderList]:
    pseudo: dict[bytes, bytes] = {}
    headers: HeaderList = []
    for name, value in received:
        if not name.startswith(b":"):
            headers.append((name, value))
        elif headers or name in pseudo or name not in _PSEUDO:
            raise Rejected(400, "malformed pseudo field")
        else:
            pseudo[name] = value
    return pseudo, headers


def _check_fields(headers: HeaderList) -> dict[bytes, bytes]:
    """The fields by name (the last of each). Raises Rejected on what RFC 9113, section 8.2, forbids."""
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        if not TOKEN.fullmatch(name) or name != name.lower():
            raise Rejected(400, "malformed field name")
        if not FIELD_VALUE.fullmatch(value) or value.strip(b" \t") != value:
            raise Rejected(400, "malformed field value")
        if name in _CONNECTION_SPECIFIC or (name == b"te" and value != b"trailers"):
            raise Rejected(400, "connection-specific field")
        if name in fields and name in _SINGLE:
            raise Rejected(400, "repeated framing or host field")
        fields[name] = value
    return fields


def _authority(pseudo: dict[bytes, bytes], fields: dict[bytes, bytes]) -> bytes:
    named, host = pseudo.get(b":authority"), fields.get(b"host")
    if named is None:
        named = host
    if not named or (host is not None and host.lower() != named.lower()):
        raise Rejected(400, "missing or contradictory authority")
    check_authority(named)
    return named


def _target(method: bytes, pseudo: dict[bytes, bytes], authority: bytes) -> bytes:
    path, scheme = pseudo.get(b":path"), pseudo.get(b":scheme")
    if method == b"CONNECT":
        if path is not None or scheme is not None:
            raise Rejected(400, "malformed pseudo field")
        return authority
    if path is None or scheme not in (b"http", b"https"):
        raise Rejected(400, "missing pseudo field")
    check_target(path)
    if not path.startswith(b"/") and (path != b"*" or method != b"OPTIONS"):
        raise Rejected(400, "malformed request target")
    return path


def _with_one_cookie(headers: HeaderList) -> HeaderList:
    """Cookie fields put together again (RFC 9113, section 8.2.3), where the first one stood."""
    cookies = [value for name, value in headers if name == b"cookie"]
    if len(cookies) < 2:
        return headers
    joined: HeaderList = []
    for name, value in headers:
        if name != b"cookie":
            joined.append((name, value))
        elif cookies:
            joined.append((name, b"; ".join(cookies)))
            cookies = []
    return joined
