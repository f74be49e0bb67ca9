"""Whose is this connection? The rules, pure: from its first bytes and where it was going, to what becomes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from ipaddress import ip_address
from typing import Protocol

from proxy.edge.destination import Destination
from proxy.edge.pins import PinKey

# What an HTTP/1.1 request can begin with; used only to tell HTTP from other plain protocols.
_METHODS = (b"GET ", b"POST ", b"PUT ", b"DELETE ", b"PATCH ", b"HEAD ", b"OPTIONS ")
_LONGEST_METHOD = max(map(len, _METHODS))
_TLS_PORT = 443
_HTTP_ALPN = frozenset({b"http/1.0", b"http/1.1", b"h2"})


@dataclass(frozen=True, slots=True)
class Hello:
    """What a TLS ClientHello says."""

    server_name: str  # lower case; empty without SNI
    alpn: tuple[bytes, ...]
    tls_stack: str  # digest of what the client's TLS library offers


@dataclass(frozen=True, slots=True)
class Going:
    """Where the connection was going before it came to us.

    host, port: from CONNECT, the kernel or the listener; host is empty when only the server name can tell.
    tls: what the origin is to be spoken to with, when the listener says so (reverse); None: as the client speaks.
    """

    host: str
    port: int
    fixed: bool = False
    tls: bool | None = None


@dataclass(frozen=True, slots=True)
class Ours:
    """Answer it here. `with_tls`: towards the client."""

    destination: Destination
    with_tls: bool
    pin: PinKey | None = None


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Relay it byte for byte. `reason` is a constant word for the metrics. `answers_connect`: the client has not been
    told yet that its CONNECT was heard. `name`: what TLS calls a host that is only an address."""

    host: str
    port: int
    reason: str
    answers_connect: bool = False
    name: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Close:
    """Nothing can be done with it."""

    reason: str


type Decision = Ours | Tunnel | Close


class Rules(Protocol):
    """What the rules need to know."""

    def is_provider(self, host: str, port: int) -> bool:
        """Is this origin one of the configured providers?"""
        ...

    def is_pinned(self, key: PinKey) -> bool:
        """Has this client refused our certificate for this name?"""
        ...

    @property
    def passthrough(self) -> Sequence[str]:
        """Host patterns that are never intercepted."""
        ...


def is_too_short(first_bytes: bytes, *, is_relayed: bool = False) -> bool:
    """Too little to tell TLS, HTTP and other protocols apart. `is_relayed`: all but TLS is, so that it is enough to
    know that it is none."""
    if first_bytes in (b"\x16", b"\x16\x03"):  # the beginning of a TLS handshake's record
        return True
    return not is_relayed and len(first_bytes) < _LONGEST_METHOD and first_bytes[:1].isalpha()


def may_speak_first(going: Going, rules: Rules) -> bool:
    """Could the origin be one that greets its clients? Those of LLM calls never do. Here all but TLS is relayed."""
    return bool(going.host) and not going.fixed and not rules.is_provider(going.host, going.port)


def decide_destination(going: Going, rules: Rules) -> Tunnel | None:
    """What becomes of a CONNECT whose destination tells all: some origins speak first, so that waiting for the client's
    bytes would be in vain. None: they are needed. Behind an address and TLS's port SNI may name a provider."""
    if going.fixed or not going.host or rules.is_provider(going.host, going.port):
        return None
    if going.port == _TLS_PORT and _is_address(going.host):
        return None
    return Tunnel(going.host, going.port, "not_a_provider", answers_connect=True)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def decide_tls(hello: Hello, going: Going, client: str, rules: Rules) -> Decision:
    """A connection that begins with a ClientHello."""
    if going.fixed:
        scheme = "https" if going.tls else "http"
        return Ours(Destination(scheme, going.host, going.port, fixed=True), with_tls=True)
    name = hello.server_name or going.host
    if not name:
        return Close("no_server_name")
    host = going.host or name
    tunnel = partial(Tunnel, host, going.port, name=name)
    if not rules.is_provider(name, going.port):
        return tunnel("not_a_provider") if going.host else _only_providers(rules, name, going)
    if any(fnmatchcase(name, pattern) for pattern in rules.passthrough):
        return tunnel("passthrough")
    if b"grpc-exp" in hello.alpn or (hello.alpn and not _HTTP_ALPN.intersection(hello.alpn)):
        return tunnel("other_protocol")
    pin = PinKey(client, name, hello.tls_stack)
    if rules.is_pinned(pin):
        return tunnel("pinned")
    return Ours(Destination("https", name, going.port), with_tls=True, pin=pin)


def _only_providers(rules: Rules, name: str, going: Going) -> Decision:
    """Only the server name says where to: following any name would make us an open relay."""
    if any(fnmatchcase(name, pattern) for pattern in rules.passthrough):
        return Tunnel(name, going.port, "passthrough")
    return Close("unknown_server_name")


def decide_plain(first_bytes: bytes, going: Going, rules: Rules) -> Decision:
    """A connection that begins with anything else."""
    if going.fixed:
        return Ours(Destination("https" if going.tls else "http", going.host, going.port, fixed=True), with_tls=False)
    if not going.host:
        return Close("no_server_name")
    if first_bytes.startswith(_METHODS) and rules.is_provider(going.host, going.port):
        if any(fnmatchcase(going.host, pattern) for pattern in rules.passthrough):
            return Tunnel(going.host, going.port, "passthrough")
        return Ours(Destination("http", going.host, going.port), with_tls=False)
    return Tunnel(going.host, going.port, "not_a_provider")
