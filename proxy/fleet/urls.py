"""Where Redis is: the forms of `cache.redis.url`. Pure.

Rules: user and password may be percent-encoded. Messages name the setting and the forms, and never show the URL, which
may hold a password.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Never
from urllib.parse import parse_qsl, unquote

REDIS_PORT: Final = 6379
SENTINEL_PORT: Final = 26379
_MAX_ADDRESSES: Final = 64

FORMS: Final = (
    "redis://[user:password@]host:port/db",
    "rediss://… (TLS)",
    "unix:///path/to/socket?db=0",
    "sentinel://host:port,host:port/service/db (rediss+sentinel:// with TLS)",
    "cluster://host:port,host:port (rediss+cluster:// with TLS)",
)


class Kind(StrEnum):
    """How servers are found."""

    STANDALONE = "standalone"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


_SCHEMES: Final = {
    "redis": (Kind.STANDALONE, False),
    "rediss": (Kind.STANDALONE, True),
    "unix": (Kind.STANDALONE, False),
    "sentinel": (Kind.SENTINEL, False),
    "redis+sentinel": (Kind.SENTINEL, False),
    "rediss+sentinel": (Kind.SENTINEL, True),
    "cluster": (Kind.CLUSTER, False),
    "redis+cluster": (Kind.CLUSTER, False),
    "rediss+cluster": (Kind.CLUSTER, True),
}


class RedisUrlError(ValueError):
    """The setting says no place."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server: host and port, or the path of its socket."""

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """What a URL says. With Sentinel the addresses are those of the sentinels."""

    kind: Kind
    addresses: tuple[Address, ...]
    is_tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    service: str = ""


def parse(url: str) -> RedisPlace:
    """The place. Raises RedisUrlError."""
    scheme, separator, rest = url.strip().partition("://")
    if not separator or scheme.lower() not in _SCHEMES:
        _refuse("has no known form")
    kind, is_tls = _SCHEMES[scheme.lower()]
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    username, password = _credentials(credentials)
    if scheme.lower() == "unix":
        if hosts or not path:
            _refuse("needs the path of a socket: three slashes, then the path")
        addresses: tuple[Address, ...] = (Address("", 0, "/" + unquote(path)),)
        database = _asked_database(query)
        return RedisPlace(kind, addresses, is_tls, username, password, database)
    addresses = _addresses(hosts, SENTINEL_PORT if kind is Kind.SENTINEL else REDIS_PORT)
    parts = [unquote(part) for part in path.split("/") if part]
    service = ""
    if kind is Kind.SENTINEL:
        if not parts:
            _refuse("needs the name of the service that the sentinels watch, after the hosts")
        service = parts.pop(0)
    if kind is Kind.STANDALONE and len(addresses) > 1:
        _refuse("names several hosts: use the form for Sentinel or Cluster")
    if len(parts) > 1:
        _refuse("has a path that is too long")
    database = _number(parts[0]) if parts else _asked_database(query)
    if parts and query:
        _asked_database(query)  # what is wrong there is said, though the path decides
    if kind is Kind.CLUSTER and database:
        _refuse("names a database: a cluster has none but 0")
    return RedisPlace(kind, addresses, is_tls, username, password, database, service)


def _credentials(text: str) -> tuple[str | None, str | None]:
    if not text:
        return None, None
    username, _, password = text.partition(":")
    return unquote(username) or None, unquote(password) or None


def _addresses(hosts: str, default_port: int) -> tuple[Address, ...]:
    named = [each.strip() for each in hosts.split(",")]
    if not hosts or not all(named):
        _refuse("names no host")
    if len(named) > _MAX_ADDRESSES:
        _refuse(f"names more than {_MAX_ADDRESSES} hosts")
    return tuple(_address(each, default_port) for each in named)


def _address(text: str, default_port: int) -> Address:
    if text.startswith("["):
        host, closing, rest = text[1:].partition("]")
        if not closing or not host or (rest and not rest.startswith(":")):
            _refuse("has an IPv6 address with an unmatched bracket")
        port = rest[1:]
    else:
        host, _, port = text.partition(":")
        if ":" in port:
            _refuse("has an IPv6 address without brackets")
        if not host or any(character.isspace() for character in host):
            _refuse("names no host")
    if not port:
        return Address(host, default_port)
    number = _number(port)
    if not 0 < number < 65_536:
        _refuse("has a port out of range")
    return Address(host, number)


def _asked_database(query: str) -> int:
    database = 0
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "db":
            _refuse("has a parameter that is not known (only db is)")
        database = _number(value)
    return database


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        _refuse("has a port or database that is not a number; special characters in a password are percent-encoded")
    return int(text)


def _refuse(problem: str) -> Never:
    raise RedisUrlError(f"cache.redis.url {problem}. Forms: {'; '.join(FORMS)}")
