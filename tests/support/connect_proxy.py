"""A proxy for tests of clients: it answers CONNECT, then serves every host itself over TLS."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(slots=True)
class ConnectProxy:
    """A running proxy. `heads` are the CONNECT requests it got; `requests` what came through the tunnels."""

    port: int
    heads: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """As HTTPS_PROXY has it."""
        return f"http://127.0.0.1:{self.port}"


def _head(connection: socket.socket) -> str:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65_536)
        if not piece:
            raise ConnectionError
        received += piece
    return received.decode("latin-1")


def _serve(connection: socket.socket, context: ssl.SSLContext, proxy: ConnectProxy, status: bytes) -> None:
    connection.settimeout(20)
    with connection:
        try:
            proxy.heads.append(_head(connection))
            connection.sendall(b"HTTP/1.1 " + status + b"\r\nX-Proxy: test\r\n\r\n")
            if not status.startswith(b"200"):
                return
            with context.wrap_socket(connection, server_side=True) as tls:
                while True:
                    proxy.requests.append(_head(tls).partition("\r\n")[0])
                    tls.sendall(ANSWER)
        except OSError:
            return


@contextmanager
def connect_proxy(context: ssl.SSLContext, status: bytes = b"200 Connection established") -> Iterator[ConnectProxy]:
    """Run until the block ends. Requests must come without a body."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = ConnectProxy(listener.getsockname()[1])
        workers: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                worker = threading.Thread(target=_serve, args=(connection, context, proxy, status), daemon=True)
                workers.append(worker)
                worker.start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (acceptor, *workers):
                thread.join(25)
