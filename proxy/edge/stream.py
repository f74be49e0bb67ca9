"""One request on a client's connection: collects its body, runs it, and is the sink that its answer is written to.

A body is collected up to `limits.max_request_bytes`; past that it is relayed while it arrives, and nothing in it is
looked at. A client that leaves cancels its task (`on_disconnect: cancel`), or leaves it to run to its end (`drain`).
"""

import asyncio
from typing import TYPE_CHECKING

from proxy.edge.request_body import HIGH_BYTES, LOW_BYTES, StreamedRequestBody
from proxy.exchange.model import Body
from proxy.exchange.repeats import Key
from proxy.wire.events import RequestHead
from proxy.wire.http2 import Http2Server

if TYPE_CHECKING:
    from proxy.edge.connection import ClientConnection

_MAX_UNSENT = 262_144  # bytes of one HTTP/2 stream that wait for the client's window


class ClientStream:
    """See the module."""

    __slots__ = ("_body", "_chunks", "_credited", "_room", "_size", "_task", "_window", "connection", "head", "id",
                 "is_answering", "is_gone", "key", "sent_bytes")  # fmt: skip

    def __init__(self, connection: "ClientConnection", head: RequestHead, key: Key | None) -> None:
        """`key`: the place among the repeats of a request that came in one piece and might have been one."""
        self.connection = connection
        self.head = head
        self.id = head.stream_id
        self.key = key
        self.is_answering = False
        self.is_gone = False
        self.sent_bytes = 0
        self._chunks: list[bytes] = []
        self._size = 0
        self._credited = 0  # bytes of a streamed body that the client was given credit for before it was one
        self._body: StreamedRequestBody | None = None
        self._task: asyncio.Task[None] | None = None
        self._window: asyncio.Event | None = None
        self._room = connection.bridge.settings.limits.max_request_bytes

    def begin(self) -> None:
        """The head is there. What is too large to hold, or is no HTTP exchange, does not wait for the rest."""
        connection, head = self.connection, self.head
        if head.expect_continue and connection.codec is not None:
            connection.codec.send_continue(self.id)
        if connection.bridge.is_grpc(head):
            self._run(b"")
            return
        if isinstance(connection.codec, Http2Server):
            connection.codec.commit()
        if head.content_length is not None and head.content_length > self._room:
            self._stream_body()

    @property
    def is_waiting(self) -> bool:
        """The request is not complete, and nothing has been done with it."""
        return self._task is None

    # -- from the client

    def receive(self, data: bytes) -> None:
        """A piece of the body."""
        if self._body is not None:
            self._body.put(data)
            if self._body.queued > HIGH_BYTES and not isinstance(self.connection.codec, Http2Server):
                self.connection.channel.pause_reading("body")
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size > self._room:
            self._stream_body()
        elif self.connection.codec is not None:
            self.connection.codec.acknowledge(self.id, len(data))
            self._credited = self._size

    def receive_end(self) -> None:
        """The request is complete."""
        if self._body is not None:
            self._body.end()
        elif self._task is None:
            chunks, self._chunks = self._chunks, []
            self._run(chunks[0] if len(chunks) == 1 else b"".join(chunks))

    def _stream_body(self) -> None:
        body = self._body = StreamedRequestBody(self._taken)
        for chunk in self._chunks:
            body.put(chunk)
        self._chunks = []
        self._run(body)

    def _taken(self, count: int) -> None:
        connection = self.connection
        already = min(count, self._credited)
        self._credited -= already
        if connection.codec is not None:
            connection.codec.acknowledge(self.id, count - already)
            connection.flush()
        if self._body is not None and self._body.queued < LOW_BYTES:
            connection.channel.resume_reading("body")

    def _run(self, body: bytes | Body) -> None:
        self.connection.no_deadline()
        self._task = self.connection.bridge.begin(self, body)

    def client_gone(self) -> None:
        """The client left, or gave this stream up."""
        self.is_gone = True
        if self._body is not None:
            self._body.fail()
        if self._window is not None:
            self._window.set()
        if self._task is not None and self.connection.bridge.settings.on_disconnect == "cancel":
            self._task.cancel()

    # -- to the client (proxy.exchange.forward.Sink)

    def write(self, chunk: bytes) -> bool:
        """Send a piece of the body; False when the client is slower than the origin."""
        if self.is_gone:
            return True
        connection = self.connection
        codec = connection.codec
        assert codec is not None
        codec.send_data(self.id, chunk)
        self.sent_bytes += len(chunk)
        connection.flush()
        return connection.channel.is_writable and codec.unsent(self.id) < _MAX_UNSENT

    async def drain(self) -> None:
        """Wait until the client takes more."""
        connection = self.connection
        await connection.channel.drain()
        codec = connection.codec
        while codec is not None and not self.is_gone and codec.unsent(self.id) >= _MAX_UNSENT:
            self._window = asyncio.Event()
            connection.waiting_for_window.append(self._window)
            try:
                await self._window.wait()
            finally:
                connection.waiting_for_window.remove(self._window)
                self._window = None
