"""Where the clients of a run connect, and one such client: CONNECT, TLS and the first byte as any SDK's.

Rules: connecting blocks and is never timed; afterwards the socket does not block.
"""

import contextlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from bench.failures import BenchFailed
from bench.work import HOST

_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """A contestant that listens. `pid` None: it is no process of its own."""

    address: tuple[str, int]
    is_proxy: bool
    ca: Path
    pid: int | None
    admin: str | None = None  # HOST:PORT of an operators' listener with /metrics

    def context(self) -> ssl.SSLContext:
        """The clients' TLS settings: HTTP/1.1, the contestant's CA, names checked."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.set_alpn_protocols(["http/1.1"])
        return context


def connect(target: Target, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection that is ready for requests. Raises BenchFailed when the proxy refuses, or OSError."""
    raw = socket.create_connection(target.address, timeout=_TIMEOUT_S)
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.is_proxy:
            raw.sendall(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                if not (data := raw.recv(4096)):
                    raise BenchFailed(f"the proxy closed instead of connecting: {answer!r}")
                answer += data
            if b" 200 " not in answer.split(b"\r\n", 1)[0] + b" ":
                raise BenchFailed(f"the proxy refused: {answer!r}")
        wrapped = context.wrap_socket(raw, server_hostname=HOST)
    except BaseException:
        raw.close()
        raise
    wrapped.setblocking(False)
    return wrapped


def receive(wrapped: ssl.SSLSocket) -> bytes | None:
    """What there is to read; None when it was only TLS's own. Raises BenchFailed at the end of the connection."""
    try:
        data = wrapped.recv(65_536)
        while wrapped.pending():
            data += wrapped.recv(65_536)
    except ssl.SSLWantReadError:
        return None
    if not data:
        raise BenchFailed("the connection was closed within an answer")
    return data


def send(wrapped: ssl.SSLSocket, data: bytes) -> None:
    """Send a request; requests are small, so the socket has room."""
    if wrapped.send(data) != len(data):
        raise BenchFailed("a request did not fit into the socket's buffer")


def close_all(sockets: list[ssl.SSLSocket]) -> None:
    """Close without ceremony."""
    for each in sockets:
        with contextlib.suppress(OSError):
            each.close()
