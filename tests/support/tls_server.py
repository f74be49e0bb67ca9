"""A small HTTPS server for one test, with any server context, that says how each handshake went."""

import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class Handshake:
    """What one connection came to. `failed_in` is `handshake`, `read` or empty."""

    failed_in: str
    error: Exception | None
    version: str | None = None


@dataclass(slots=True)
class TlsServer:
    """A running server on a loopback port."""

    port: int
    handshakes: "queue.Queue[Handshake]" = field(default_factory=queue.Queue)


def _serve(connection: socket.socket, context: ssl.SSLContext) -> Handshake:
    connection.settimeout(20)
    step = "handshake"
    try:
        with context.wrap_socket(connection, server_side=True) as tls:
            version = tls.version()
            step = "read"
            request = b""
            while b"\r\n\r\n" not in request:
                piece = tls.recv(65_536)
                if not piece:
                    return Handshake(step, EOFError(), version)
                request += piece
            tls.sendall(ANSWER)
            return Handshake("", None, version)
    except OSError as exc:
        return Handshake(step, exc)


@contextmanager
def tls_server(context: Callable[[], ssl.SSLContext] | ssl.SSLContext) -> Iterator[TlsServer]:
    """Serve until the block ends. Connections are handled one after another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = TlsServer(listener.getsockname()[1])

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    chosen = context if isinstance(context, ssl.SSLContext) else context()
                    server.handshakes.put(_serve(connection, chosen))

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(25)
