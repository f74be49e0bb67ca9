"""Listeners on both loopbacks, on a machine that has only one.

Whoever writes `--listen 127.0.0.1:443 --listen [::1]:443` for machines that he does not see, as the injector does for
pods, cannot know which of them have IPv6: many clusters have none at all, not even on loopback.
"""

import socket
from collections.abc import Callable, Sequence


def has_ipv6() -> bool:
    """Can anything be bound to ::1?"""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def usable(listen: Sequence[str], has_ipv6: Callable[[], bool] = has_ipv6) -> list[str]:
    """The addresses, without each [::1]:PORT that this machine lacks, where 127.0.0.1:PORT is there as well. Any other
    one that is lacking is a mistake, which is for the listener to tell."""
    twins = [address for address in listen if _host(address) == "::1" and f"127.0.0.1:{_port(address)}" in listen]
    if not twins or has_ipv6():
        return list(listen)
    return [address for address in listen if address not in twins]


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def _port(address: str) -> str:
    return address.rpartition(":")[2]
