"""Finding an origin's address, where the ordinary way will not do.

`upstream.resolve` fixes addresses by hand. In `hosts` mode the hosts file leads every provider's name to ourselves, so
names are asked of DNS directly. In all other cases `address` is None: the connection's own lookup (both address
families, in the system's order) is best left alone.
"""

import asyncio
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

import mitmproxy_rs

from config.schema import split_address
from proxy.exchange.errors import UpstreamError
from proxy.upstream.guard import UNGUARDED, Guard

_KEEP_S = 30.0  # providers' records live for a minute or less
_MAX_NAMES = 1024
_MAX_ADDRESSES = 64
_ANY_PORT = 443


@dataclass(frozen=True, slots=True)
class _Answer:
    addresses: tuple[str, ...]
    until: float


class Resolver:
    """Addresses for origins. `ignore_hosts_file`: ask DNS alone."""

    def __init__(self, fixed: dict[str, str], *, ignore_hosts_file: bool, guard: Guard = UNGUARDED) -> None:
        self._guard = guard
        self._fixed = {host.lower(): split_address(address) for host, address in fixed.items()}
        self._dns = mitmproxy_rs.dns.DnsResolver(use_hosts_file=False) if ignore_hosts_file else None
        self._answers: dict[str, _Answer] = {}
        self._looked_up: dict[str, _Answer] = {}  # only for counting connections

    async def address(self, host: str, port: int) -> tuple[str, int] | None:
        """Where to connect to, or None to use the system's lookup. Raises UpstreamError when DNS has no answer, or none
        that may be dialled."""
        if (fixed := self._fixed.get(host)) is not None:
            return fixed
        if self._dns is None or _is_address(host):
            return None
        answer = self._answers.get(host)
        now = time.monotonic()
        if answer is None or answer.until < now:
            try:
                found = await self._dns.lookup_ip(host)
            except (OSError, ValueError) as failure:
                raise UpstreamError("dns_error", "the origin's name could not be resolved", sent=False) from failure
            if len(self._answers) >= _MAX_NAMES:
                self._answers.clear()
            answer = self._answers[host] = _Answer(tuple(_reachable_first(found)), now + _KEEP_S)
        if not answer.addresses:
            raise UpstreamError("dns_error", "the origin's name has no address", sent=False)
        return self._guard.chosen(host, port, answer.addresses)[0], port

    def known_addresses(self, host: str, port: int) -> list[tuple[str, int]]:
        """Where connections to this origin can lead, without asking anybody; for counting only."""
        if (fixed := self._fixed.get(host)) is not None:
            return [fixed]
        if host == "localhost":
            return [("127.0.0.1", port), ("::1", port)]
        if _is_address(host):
            return [(host, port)]
        answer = self._answers.get(host) or self._looked_up.get(host)
        return [(address, port) for address in answer.addresses] if answer is not None else []

    async def look_up(self, host: str, port: int) -> None:
        """Find out, for counting, what the system's own lookup leads to."""
        if self._dns is not None or host in self._fixed or _is_address(host):
            return
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            return
        if len(self._looked_up) >= _MAX_NAMES:
            self._looked_up.clear()
        before = self._looked_up.get(host)
        known = set(before.addresses) if before is not None else set()
        known |= {str(entry[4][0]) for entry in found}
        self._looked_up[host] = _Answer(tuple(sorted(known)[:_MAX_ADDRESSES]), 0.0)


def _reachable_first(addresses: Iterable[str]) -> list[str]:
    """Addresses of a family that this machine has no route for go last: a pod may have only one of the two."""
    return sorted(addresses, key=lambda address: not _has_route(address))


def _has_route(address: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, _ANY_PORT))  # asks the kernel only: nothing is sent
    except OSError:
        return False
    return True


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
