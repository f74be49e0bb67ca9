"""The provider that all contestants call: HTTP/1.1 and HTTP/2 over TLS, answers at once or streams at a set rate.

Run as `python -m bench.upstream`. Rules: it must never be the bottleneck, so it reads nothing but the order in a body;
each streamed event is written on its own, at its own time, with that time inside. A second, plain port gives its
counters as JSON to whoever connects; a third one paces streams that have no interval (upstream_pace.py).
"""

import argparse
import asyncio
import json
import os
import signal
import ssl
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Protocol, cast

import uvloop

from bench import upstream_http1
from bench.upstream_http2 import MAX_PAYLOAD, Http2Wire, header_block
from bench.upstream_pace import Pace, PaceControl
from bench.work import Order, answer, event, last_events, order_of

_WHOLE: Final = [
    (b"content-type", b"application/json"),
    (b"date", b"Sun, 01 Nov 2026 00:00:00 GMT"),
    (b"openai-processing-ms", b"12"),
    (b"x-request-id", b"req_0123456789abcdef0123456789abcdef"),
]
_STREAM: Final = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"), *_WHOLE[1:]]
_STREAM_BLOCK: Final = header_block(_STREAM)
_STREAM_HEAD: Final = upstream_http1.head(_STREAM, None)


@dataclass(slots=True)
class Counters:
    """What came in."""

    http1_connections: int = 0
    http2_connections: int = 0
    open: int = 0
    most_open: int = 0  # since the counters were last told
    answers: int = 0
    streams: int = 0
    events: int = 0


class Reply(Protocol):
    """Where an answer goes."""

    @property
    def is_gone(self) -> bool:
        """The client left."""
        ...

    def whole(self, body: bytes) -> None:
        """Send a complete answer."""
        ...

    def begin(self) -> None:
        """Send the head of a stream."""
        ...

    def piece(self, data: bytes, *, is_end: bool) -> None:
        """Send a piece of a stream."""
        ...


class Play:
    """One streamed answer: event number n is due n intervals after the first, or at the client's word."""

    __slots__ = ("_counters", "_loop", "_order", "_pace", "_reply", "_sent", "_started_at")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, order: Order, reply: Reply, counters: Counters, pace: Pace
    ) -> None:
        self._loop = loop
        self._order = order
        self._reply = reply
        self._counters = counters
        self._pace = pace
        self._sent = 0
        self._started_at = 0.0

    def start(self) -> None:
        """Head and first event, at once."""
        self._started_at = self._loop.time()
        self._reply.begin()
        self._step()

    def _step(self) -> None:
        order = self._order
        if self._reply.is_gone:
            return
        if self._sent >= order.events:
            self._reply.piece(last_events(order.events, wants_usage=order.wants_usage), is_end=True)
            return
        self._reply.piece(event(self._sent, time.monotonic_ns(), wants_usage=order.wants_usage), is_end=False)
        self._sent += 1
        self._counters.events += 1
        if order.interval_us:
            self._loop.call_at(self._started_at + self._sent * order.interval_us / 1e6, self._step)
        else:
            self._pace.wait(self._step)


class Connection(asyncio.Protocol):
    """One client's connection, of either version."""

    def __init__(self, loop: asyncio.AbstractEventLoop, counters: Counters, pace: Pace) -> None:
        self._loop = loop
        self._pace = pace
        self.counters = counters
        self.transport: asyncio.Transport
        self.is_closed = False
        self.http2: Http2Wire | None = None
        self._http1 = upstream_http1.Http1Requests()
        self._replies: dict[int, Http2Reply] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop has a class of its own over TLS
        counters = self.counters
        counters.open += 1
        counters.most_open = max(counters.most_open, counters.open)
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
            counters.http2_connections += 1
            self.http2 = Http2Wire(self._on_request, self._on_reset)
            self.flush()
        else:
            counters.http1_connections += 1

    def data_received(self, data: bytes) -> None:
        if self.http2 is not None:
            self.http2.feed(data)
            self.flush()
        elif (body := self._http1.feed(data)) is not None:
            self._answer(order_of(body), Http1Reply(self))

    def flush(self) -> None:
        """Send what HTTP/2 has ready."""
        assert self.http2 is not None
        if (out := self.http2.take_output()) and not self.is_closed:
            self.transport.write(out)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self.counters.open -= 1

    def _on_request(self, stream_id: int, body: bytes) -> None:
        reply = self._replies[stream_id] = Http2Reply(self, stream_id)
        self._answer(order_of(body), reply)

    def _on_reset(self, stream_id: int) -> None:
        if reply := self._replies.pop(stream_id, None):
            reply.is_reset = True

    def forget(self, stream_id: int) -> None:
        """A stream has ended."""
        self._replies.pop(stream_id, None)

    def _answer(self, order: Order, reply: Reply) -> None:
        if order.delay_ms:
            self._loop.call_later(order.delay_ms / 1000, self._answer_now, order, reply)
        else:
            self._answer_now(order, reply)

    def _answer_now(self, order: Order, reply: Reply) -> None:
        if reply.is_gone:
            return
        if order.events:
            self.counters.streams += 1
            Play(self._loop, order, reply, self.counters, self._pace).start()
        else:
            self.counters.answers += 1
            reply.whole(answer(order.number, order.answer_bytes))


class Http1Reply:
    """The answer on a connection of its own."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def is_gone(self) -> bool:
        return self._connection.is_closed

    def whole(self, body: bytes) -> None:
        self._connection.transport.write(upstream_http1.head(_WHOLE, len(body)) + body)

    def begin(self) -> None:
        self._connection.transport.write(_STREAM_HEAD)

    def piece(self, data: bytes, *, is_end: bool) -> None:
        last = upstream_http1.LAST_CHUNK if is_end else b""
        self._connection.transport.write(upstream_http1.chunk(data) + last)


class Http2Reply:
    """The answer on a stream."""

    __slots__ = ("_connection", "_id", "_wire", "is_reset")

    def __init__(self, connection: Connection, stream_id: int) -> None:
        assert connection.http2 is not None
        self._connection = connection
        self._wire = connection.http2
        self._id = stream_id
        self.is_reset = False

    @property
    def is_gone(self) -> bool:
        return self.is_reset or self._connection.is_closed

    def whole(self, body: bytes) -> None:
        self._wire.send_head(self._id, header_block([*_WHOLE, (b"content-length", b"%d" % len(body))]))
        for at in range(0, len(body), MAX_PAYLOAD):
            self.piece(body[at : at + MAX_PAYLOAD], is_end=at + MAX_PAYLOAD >= len(body))

    def begin(self) -> None:
        self._wire.send_head(self._id, _STREAM_BLOCK)
        self._connection.flush()

    def piece(self, data: bytes, *, is_end: bool) -> None:
        self._wire.send_data(self._id, data, is_end=is_end)
        self._connection.flush()
        if is_end:
            self._connection.forget(self._id)


async def _serve(arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    counters, pace = Counters(), Pace()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.cert, arguments.key)
    context.set_alpn_protocols(["h2", "http/1.1"])

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(asdict(counters)).encode())
        counters.most_open = counters.open
        writer.close()

    servers = {
        "port": await loop.create_server(
            lambda: Connection(loop, counters, pace), "127.0.0.1", 0, ssl=context, backlog=4096
        ),
        "control": await asyncio.start_server(tell, "127.0.0.1", 0),
        "pace": await loop.create_server(lambda: PaceControl(pace), "127.0.0.1", 0),
    }
    ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
    part = arguments.ready_file.with_suffix(".part")
    part.write_text(json.dumps({**ports, "pid": os.getpid()}))
    part.replace(arguments.ready_file)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    for server in servers.values():
        server.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.upstream", description="The upstream of the benchmark.")
    parser.add_argument("--cert", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--ready-file", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(_serve(_arguments()))
