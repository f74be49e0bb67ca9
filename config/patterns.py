"""Patterns of hosts, as several settings name them: which origins a provider has, which may be connected to.

A leading `*.` stands for one or more labels, any other `*` for one label or a part of one. Without a port a pattern is
meant for HTTPS and HTTP.
"""

import re
from dataclasses import dataclass
from typing import Final

DEFAULT_PORTS: Final = (443, 80)  # of a pattern that names none

# NAME or NAME:PORT, [V6] or [V6]:PORT, V6.
_HOST: Final = re.compile(
    r"(?:(?P<name>[a-z0-9_*-]+(?:\.[a-z0-9_*-]+)*)\.?|\[(?P<v6>[0-9a-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?"
    r"|(?P<bare>[0-9a-f]*:[0-9a-f.]*:[0-9a-f:.]*)"
)


@dataclass(frozen=True, slots=True)
class HostPattern:
    """One pattern, in lower case."""

    host: str
    ports: tuple[int, ...]
    wildcard: re.Pattern[str] | None  # None: `host` is the one name or address that is meant

    @classmethod
    def parse(cls, text: str) -> "HostPattern":
        """Raises ValueError."""
        found = _HOST.fullmatch(text.strip().lower())
        port = int(found["port"] or 443) if found else 0
        if not found or not 0 < port <= 65_535:
            raise ValueError(f"{text!r} is not HOST or HOST:PORT; `*` may stand for labels of the host")
        host = found["name"] or found["v6"] or found["bare"]
        return cls(host, (port,) if found["port"] else DEFAULT_PORTS, _compile(host) if "*" in host else None)

    def matches(self, host: str, port: int) -> bool:
        """Is this origin meant? `host` is in lower case, without brackets."""
        if port not in self.ports:
            return False
        return host == self.host if self.wildcard is None else self.wildcard.fullmatch(host) is not None


def _compile(pattern: str) -> re.Pattern[str]:
    """`*.` at the start stands for one or more labels; any other `*` for characters of one label, at least one."""
    leading, rest = ("(?:[^.]+[.])+", pattern[2:]) if pattern.startswith("*.") else ("", pattern)
    return re.compile(leading + "[^.]+".join(re.escape(part) for part in rest.split("*")))
