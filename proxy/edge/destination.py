"""Where a connection's calls go, and turning a request's head into a Request for there. Pure."""

import re
from dataclasses import dataclass

from proxy.exchange.headers import of_request
from proxy.exchange.model import Body, Request
from proxy.exchange.tenant import Tenant
from proxy.wire.events import RequestHead

# No user, no path, no blank: nothing that another reader could take for a different host. IPv6 needs its brackets.
_AUTHORITY = re.compile(r"(?:(?P<name>[A-Za-z0-9._~%!$&'()*+,;=-]+)|\[(?P<v6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]*))?")
_ABSOLUTE = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Destination:
    """One origin. `fixed`: the listener names it (reverse), so the client's own Host does not matter."""

    scheme: str
    host: str
    port: int
    fixed: bool = False


def caller_of(peer: str, destination: Destination | None, tenant: Tenant) -> bytes:
    """All that a connection says of its calls, in a form that only the same peer, destination and tenant give."""
    return f"{peer}\0{destination}\0{tenant.said}\0".encode()


class MisdirectedError(ValueError):
    """The request cannot be for where it was sent. `status` and the text go to the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def split_authority(authority: str, default_port: int) -> tuple[str, int]:
    """(host in lower case, port) of `host`, `host:port` or `[v6]:port`. Raises ValueError."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ValueError("not a host and port")
    host = (match["name"] or match["v6"]).lower().rstrip(".")
    port = int(match["port"]) if match["port"] else default_port
    if not host or not 0 < port <= 65_535:
        raise ValueError("not a host and port")
    return host, port


def request_for(head: RequestHead, destination: Destination | None, body: bytes | Body) -> Request:
    """The Request that `head` asks for. Without a destination the target must be absolute (we are the proxy).

    Raises MisdirectedError.
    """
    target = head.target.decode("latin-1")
    if destination is None:
        destination, target = _absolute(target)
    elif not target.startswith("/"):
        if not _ABSOLUTE.match(target):
            # Joined to the origin's name, anything else could become another name.
            raise MisdirectedError(400, "the request's target is not a path")
        named, target = _absolute(target)
        _same_host(named.host, destination)
    elif head.authority and head.authority != destination.host.encode():
        try:
            host, _ = split_authority(head.authority.decode("latin-1"), destination.port)
        except ValueError as failure:
            raise MisdirectedError(400, "the Host field is not a host and port") from failure
        _same_host(host, destination)
    return Request(
        method=head.method.decode("latin-1"),
        scheme=destination.scheme,
        host=destination.host,
        port=destination.port,
        target=target,
        headers=of_request(head.headers),
        body=body,
        http_version=head.http_version,
    )


def _absolute(target: str) -> tuple[Destination, str]:
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise MisdirectedError(
            400,
            "This is an HTTP proxy (Skinflint). Use it through HTTPS_PROXY, or start a listener in reverse mode "
            "for requests that name no origin.",
        )
    scheme, path = match["scheme"].lower(), match["rest"]
    try:
        host, port = split_authority(match["authority"], 443 if scheme == "https" else 80)
    except ValueError as failure:
        raise MisdirectedError(400, "the request's target is not a URL") from failure
    return Destination(scheme, host, port), path if path.startswith("/") else "/" + path


def _same_host(host: str, destination: Destination) -> None:
    # The cache and the credentials belong to the origin that TLS named; RFC 9110, section 7.4 says to answer 421.
    if not destination.fixed and host != destination.host:
        raise MisdirectedError(421, "the Host field names another origin than this connection is for")
