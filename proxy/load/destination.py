"""Where load goes: the proxy, and the origin behind it.

Rules: pure. An origin that is not this machine is only ever one that the user named; `is_ours` says which those are.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

# A name that nobody can own (RFC 6761): a proxy that does not know it sends nothing anywhere.
BUILT_IN_HOST: Final = "bench.example.test"
BUILT_IN_PORT: Final = 18443
CHAT_PATH: Final = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Origin:
    """What is asked for."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """HOST:PORT, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_ours(self) -> bool:
        """The upstream that we start, or this machine: nothing that would charge."""
        return self.host in (BUILT_IN_HOST, "localhost") or _is_loopback(self.host)


BUILT_IN: Final = Origin("https", BUILT_IN_HOST, 443, CHAT_PATH)


def origin_from(url: str) -> Origin:
    """The origin of a URL; without a path, chat completions'. Raises ValueError for what is no http or https URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError(f"{url!r} must be http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH]")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    path = parts.path if parts.path not in ("", "/") else CHAT_PATH
    return Origin(parts.scheme, parts.hostname, port, f"{path}?{parts.query}" if parts.query else path)


def proxy_address(url: str) -> tuple[str, int]:
    """Host and port of `http://HOST:PORT`. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or not parts.port or parts.path not in ("", "/"):
        raise ValueError(f"{url!r} must be http://HOST:PORT; proxies are asked in plain HTTP")
    return parts.hostname, parts.port


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
