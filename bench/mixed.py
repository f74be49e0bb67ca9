"""Mixed load for memory: hits, misses, streams, and clients that go away in the middle of a stream.

Rules: closed loop; what the n-th call is follows from n alone. Whole answers are compared byte for byte, streams must
be complete, except those that are given up.
"""

import select
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from bench.answers import StreamReader, WholeReader
from bench.failures import BenchFailed
from bench.target import Target, close_all, connect, receive, send
from bench.work import Requests, answer

type Kind = Literal["hit", "miss", "stream", "disconnect"]

_SILENCE_S: Final = 30.0
_STREAM_EVENTS: Final = 10
_HOT_CALLS: Final = 500
_KINDS: Final[tuple[tuple[int, Kind], ...]] = ((60, "hit"), (90, "miss"), (98, "stream"), (100, "disconnect"))


def kind_of(number: int) -> Kind:
    """60 of 100 calls are hits, 30 misses, 8 streams, 2 disconnects, evenly mixed."""
    place = number * 37 % 100  # 37 and 100 have no common factor: every hundred calls hold each place once
    return next(kind for limit, kind in _KINDS if place < limit)


@dataclass(slots=True)
class _Client:
    wrapped: socket.socket
    kind: Kind = "miss"
    number: int = 0
    whole: WholeReader | None = None
    stream: StreamReader | None = None


class Mixed:
    """Clients of one contestant."""

    def __init__(self, target: Target, clients: int, numbers: Iterator[int]) -> None:
        self._target = target
        self._context = target.context()
        self._numbers = numbers
        self._whole = Requests()
        self._short = Requests(events=_STREAM_EVENTS, interval_us=1000)
        self._long = Requests(events=10_000, interval_us=10_000)
        self._epoll = select.epoll()
        self._clients: dict[int, _Client] = {}
        for _ in range(clients):
            self._add()

    def close(self) -> None:
        """Close all connections."""
        self._epoll.close()
        close_all([client.wrapped for client in self._clients.values()])
        self._clients.clear()

    def run(self, calls: int, at_step: Callable[[int], None], step: int) -> None:
        """Make so many calls; `at_step(done)` after every `step` of them."""
        done = 0
        for client in list(self._clients.values()):
            self._ask(client)
        while done < calls:
            ready = self._epoll.poll(_SILENCE_S)
            if not ready:
                raise BenchFailed("no answer any more")
            for descriptor, _ in ready:
                client = self._clients[descriptor]
                if (data := receive(client.wrapped)) is None or not self._take(client, data):
                    continue
                done += 1
                if done % step == 0:
                    at_step(done)
                if client.kind == "disconnect":
                    self._remove(client)
                    client = self._add()
                self._ask(client)

    def _add(self) -> _Client:
        wrapped = connect(self._target, self._context)
        client = self._clients[wrapped.fileno()] = _Client(wrapped)
        self._epoll.register(wrapped.fileno(), select.EPOLLIN)
        return client

    def _remove(self, client: _Client) -> None:
        self._epoll.unregister(client.wrapped.fileno())
        del self._clients[client.wrapped.fileno()]
        close_all([client.wrapped])

    def _ask(self, client: _Client) -> None:
        number = next(self._numbers)
        client.kind = kind_of(number)
        client.number = number % _HOT_CALLS if client.kind == "hit" else number
        client.whole = client.stream = None
        if client.kind in ("hit", "miss"):
            client.whole = WholeReader()
            send(client.wrapped, self._whole.make(client.number))
        else:
            client.stream = StreamReader()
            send(client.wrapped, (self._short if client.kind == "stream" else self._long).make(client.number))

    def _take(self, client: _Client, data: bytes) -> bool:
        """True when the call is over."""
        if client.whole is not None:
            if (body := client.whole.feed(data)) is None:
                return False
            if body != answer(client.number):
                raise BenchFailed(f"a wrong answer to call {client.number}")
            return True
        assert client.stream is not None
        client.stream.feed(data, 0)
        if client.kind == "disconnect":
            return bool(client.stream.delays_ns)
        if not client.stream.is_complete:
            return False
        if len(client.stream.delays_ns) != _STREAM_EVENTS or not client.stream.saw_done:
            raise BenchFailed(f"stream {client.number} was not complete")
        return True
