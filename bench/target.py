"""Where the clients of a run connect, and one such client: CONNECT, TLS (or neither) and the first byte as any SDK's.

Rules: connecting blocks and is never timed; afterwards the socket does not block.
"""

import contextlib
import dataclasses
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
    is_tls: bool = True
    tunnel_to: str = f"{HOST}:443"  # what CONNECT names
    headers: bytes = b""  # lines that calls need besides an SDK's
    is_faithful: bool = True  # answers are the provider's, byte for byte; else only their meaning
    has_strict_certificates: bool = True  # as RFC 5280 wants them, which Python 3.13 insists on

    def of_process(self, pid: int) -> "Target":
        """The same, of a process that is known by now."""
        return dataclasses.replace(self, pid=pid)

    @property
    def way(self) -> str:
        """How it is asked, in words."""
        if not self.is_tls:
            return "plain HTTP"
        return "CONNECT, TLS" if self.is_proxy else "TLS"

    def context(self) -> ssl.SSLContext:
        """The clients' TLS settings: HTTP/1.1, the contestant's CA, names checked."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.set_alpn_protocols(["http/1.1"])
        if not self.has_strict_certificates:
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


def connect(target: Target, context: ssl.SSLContext) -> socket.socket:
    """A connection that is ready for requests. Raises BenchFailed when the proxy refuses, or OSError."""
    raw = open_socket(target.address, target.tunnel_to if target.is_proxy else None)
    try:
        connected = context.wrap_socket(raw, server_hostname=HOST) if target.is_tls else raw
    except BaseException:
        raw.close()
        raise
    connected.setblocking(False)
    return connected


def open_socket(address: tuple[str, int], tunnel_to: str | None) -> socket.socket:
    """A TCP connection, through the proxy at `address` to `tunnel_to` by CONNECT unless that is None. Raises
    BenchFailed when the proxy refuses, or OSError."""
    raw = socket.create_connection(address, timeout=_TIMEOUT_S)
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tunnel_to is not None:
            raw.sendall(f"CONNECT {tunnel_to} HTTP/1.1\r\nHost: {tunnel_to}\r\n\r\n".encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                if not (data := raw.recv(4096)):
                    raise BenchFailed(f"the proxy closed instead of connecting: {answer!r}")
                answer += data
            if b" 200 " not in answer.split(b"\r\n", 1)[0] + b" ":
                raise BenchFailed(f"the proxy refused: {answer!r}")
    except BaseException:
        raw.close()
        raise
    return raw


def receive(connected: socket.socket) -> bytes | None:
    """What there is to read; None when it was only TLS's own. Raises BenchFailed at the end of the connection."""
    try:
        data = connected.recv(65_536)
        if isinstance(connected, ssl.SSLSocket):
            while connected.pending():
                data += connected.recv(65_536)
    except (ssl.SSLWantReadError, BlockingIOError):
        return None
    if not data:
        raise BenchFailed("the connection was closed within an answer")
    return data


def send(connected: socket.socket, data: bytes) -> None:
    """Send a request; requests are small, so the socket has room."""
    if connected.send(data) != len(data):
        raise BenchFailed("a request did not fit into the socket's buffer")


def close_all(sockets: list[socket.socket]) -> None:
    """Close without ceremony."""
    for each in sockets:
        with contextlib.suppress(OSError):
            each.close()
