"""How many connections there really are: the kernel knows, pyreqwest does not tell.

Linux only (/proc); elsewhere the pool's own count of lanes has to do. Read at each scrape, never on a call's path.
"""

import ipaddress
import os
import re
from collections import Counter
from pathlib import Path

_ESTABLISHED = "01"
_SOCKET = re.compile(r"socket:\[(\d+)\]")


def open_connections() -> Counter[tuple[str, int]] | None:
    """Established TCP connections of this process by (remote address, remote port); None where /proc is missing."""
    inodes = set()
    try:
        for link in os.scandir("/proc/self/fd"):
            try:
                if match := _SOCKET.fullmatch(str(Path(link.path).readlink())):
                    inodes.add(match[1])
            except OSError:
                continue
        found: Counter[tuple[str, int]] = Counter()
        for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
            if Path(table).exists():
                found.update(_established(Path(table).read_text("ascii"), inodes))
    except OSError:
        return None
    return found


def _established(table: str, inodes: set[str]) -> list[tuple[str, int]]:
    remote = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] == _ESTABLISHED and fields[9] in inodes:
            address, _, port = fields[2].partition(":")
            remote.append((_address(address), int(port, 16)))
    return remote


def _address(text: str) -> str:
    """The kernel's form: 32-bit words in host byte order, hexadecimal."""
    words = [bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8)]
    address = ipaddress.ip_address(b"".join(words))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
