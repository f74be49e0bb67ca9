"""Storms of new connections: CONNECT and a TLS handshake each, full or resumed, then gone.

Rules: a few threads with blocking sockets, since OpenSSL lets go of the interpreter while it computes; a handshake is
over when the client has the server's Finished. Resuming clients begin with the ticket of one call that was answered,
as SDKs that keep their sessions do; whether the server took it is looked at each time.
"""

import contextlib
import ssl
import threading
import time
from dataclasses import dataclass

from bench.answers import WholeReader
from bench.failures import BenchFailed
from bench.processes import cpu_seconds
from bench.target import Target, open_socket
from bench.work import HOST, Requests


@dataclass(frozen=True, slots=True)
class Storm:
    """What came of one."""

    handshakes: int
    resumed: int
    seconds: float
    cpu_us: float  # of the contestant, a handshake; 0 when it is no process
    load_busy: float  # share of its core that the load generator took

    @property
    def rate(self) -> float:
        """Handshakes a second."""
        return self.handshakes / self.seconds


def ticket(target: Target, context: ssl.SSLContext) -> ssl.SSLSession | None:
    """A session to resume, from a connection on which a call was answered; None when the server gave none."""
    with contextlib.closing(_handshake(target, context, None)) as connection:
        connection.sendall(Requests().make(0))
        reader = WholeReader()
        while data := connection.recv(65_536):
            if reader.feed(data) is not None:
                session = connection.session
                return session if session is not None and session.has_ticket else None
    raise BenchFailed("the connection was closed within an answer")


def storm(
    target: Target, context: ssl.SSLContext, session: ssl.SSLSession | None, *, clients: int, seconds: float
) -> Storm:
    """So many clients at once, for so long. Raises BenchFailed when a handshake fails."""
    counts = [[0, 0] for _ in range(clients)]
    failures: list[BaseException] = []
    stop_at = time.perf_counter() + seconds

    def client(count: list[int]) -> None:
        try:
            while time.perf_counter() < stop_at and not failures:
                with contextlib.closing(_handshake(target, context, session)) as connection:
                    count[0] += 1
                    count[1] += bool(connection.session_reused)
        except (OSError, BenchFailed) as failure:
            failures.append(failure)

    threads = [threading.Thread(target=client, args=(count,)) for count in counts]
    cpu_before = cpu_seconds(target.pid) if target.pid else 0.0
    own_before, started = time.process_time(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, own = time.perf_counter() - started, time.process_time() - own_before
    cpu = cpu_seconds(target.pid) - cpu_before if target.pid else 0.0
    if failures:
        raise BenchFailed(f"a handshake failed: {failures[0]!r}")
    handshakes = sum(count[0] for count in counts)
    return Storm(handshakes, sum(count[1] for count in counts), took, cpu / handshakes * 1e6, own / took)


def _handshake(target: Target, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSocket:
    raw = open_socket(target.address, f"{HOST}:443" if target.is_proxy else None)
    try:
        return context.wrap_socket(raw, server_hostname=HOST, session=session)
    except BaseException:
        raw.close()
        raise
