"""Peers that vanish without a word: the kernel asks them, and closes the connection when nothing answers.

A relay may be silent for hours and still be wanted (a WebSocket, a database behind a tunnel), so silence alone ends
nothing. What ends it is a peer that answers neither the kernel's probes (SO_KEEPALIVE) nor what was sent to it
(TCP_USER_TIMEOUT): both are answered by its kernel, however busy its program is.
"""

import asyncio
import socket
from typing import Final

_PROBES: Final = 3


def notice_dead_peer(transport: asyncio.BaseTransport, within_s: float) -> None:
    """Have the kernel close this connection about `within_s` seconds after the peer has vanished. Does nothing for
    what is no TCP socket, and where the system has no such options."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    half = max(1, round(within_s / 2))
    options = {
        "TCP_KEEPIDLE": half,
        "TCP_KEEPINTVL": max(1, half // _PROBES),
        "TCP_KEEPCNT": _PROBES,
        "TCP_USER_TIMEOUT": round(within_s * 1000),
    }
    for name, value in options.items():
        if number := getattr(socket, name, None):
            sock.setsockopt(socket.IPPROTO_TCP, number, value)
