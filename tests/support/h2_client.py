"""An HTTP/2 client that does what it is told: one connection, streams opened, read, slowed down and reset at will.

Rules: frames are h2's; TLS and the tunnel are `RawClient`'s. One reader task feeds all streams; a stream's body is only
acknowledged when the test reads it, unless it asks for more.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

from tests.support.raw_client import WAIT_S, RawClient

_GOAWAY = 7

type Fields = list[tuple[str, str]]


@dataclass(slots=True)
class Stream:
    """One stream, as far as it has come."""

    id: int
    status: int = 0
    headers: Fields = field(default_factory=list)
    body: bytes = b""
    trailers: Fields = field(default_factory=list)
    ended: bool = False
    reset: int | None = None
    unacknowledged: int = 0

    def header(self, name: str) -> str:
        """All values of a field, joined."""
        return ", ".join(value for key, value in self.headers if key == name)


class H2Client:
    """See the module. `async with H2Client(raw) as client`."""

    def __init__(self, raw: RawClient, *, window: int = 65_535, acknowledges: bool = True) -> None:
        self._raw = raw
        self._acknowledges = acknowledges
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.local_settings.initial_window_size = window
        self.streams: dict[int, Stream] = {}
        self.goaway: int | None = None  # the reason that the last one gives
        self.goaways: list[int] = []  # the last stream that each of them names
        self.settings: dict[int, int] = {}
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self.is_over = False
        self._partial = b""

    async def __aenter__(self) -> Self:
        self.h2.initiate_connection()
        self.send()
        self._task = asyncio.create_task(self._receive())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._raw.close()
        if not self._task.cancelled() and (failed := self._task.exception()) is not None:
            raise failed

    def send(self) -> None:
        """Put what h2 has to say onto the connection."""
        if data := self.h2.data_to_send():
            self._raw.send(data)

    def open(self, method: str, path: str, headers: Iterable[tuple[str, str]], *, host: str, end: bool) -> Stream:
        """Open a stream with a request's head."""
        stream = Stream(self.h2.get_next_available_stream_id())
        pseudo = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]
        self.h2.send_headers(stream.id, [*pseudo, *headers], end_stream=end)
        self.streams[stream.id] = stream
        self.send()
        return stream

    async def write(self, stream: Stream, data: bytes, *, end: bool = False) -> None:
        """Send a piece of a body, as the windows allow."""
        while data:
            room = min(self.h2.local_flow_control_window(stream.id), self.h2.max_outbound_frame_size)
            if room <= 0:
                await self.wait(lambda: self.h2.local_flow_control_window(stream.id) > 0)
                continue
            self.h2.send_data(stream.id, data[:room])
            data = data[room:]
            self.send()
        if end:
            self.h2.end_stream(stream.id)
            self.send()

    async def post(self, path: str, body: bytes, *headers: tuple[str, str], host: str = "api.openai.com") -> Stream:
        """Send a request whole."""
        fields = [("content-type", "application/json"), ("authorization", "Bearer sk-test"), *headers]
        stream = self.open("POST", path, fields, host=host, end=False)
        await self.write(stream, body, end=True)
        return stream

    async def finish(self, stream: Stream) -> Stream:
        """Wait for the stream's end, good or bad."""
        await self.wait(lambda: stream.ended or stream.reset is not None or self.is_over)
        return stream

    async def wait(self, is_so: object) -> None:
        """Wait until a condition holds; looked at whenever something has come."""
        assert callable(is_so)
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(is_so), WAIT_S)

    def acknowledge(self, stream: Stream) -> None:
        """Open the windows again for what has come on this stream."""
        count, stream.unacknowledged = stream.unacknowledged, 0
        if count:
            self.h2.acknowledge_received_data(count, stream.id)
            self.send()

    def cancel(self, stream: Stream) -> None:
        """Reset it."""
        self.h2.reset_stream(stream.id, h2.errors.ErrorCodes.CANCEL)
        self.send()

    async def _receive(self) -> None:
        while data := await self._raw._read():
            for event in self.h2.receive_data(self._without_goaway(data)):
                self._take(event)
            self.send()
            async with self._changed:
                self._changed.notify_all()
        self.is_over = True
        async with self._changed:
            self._changed.notify_all()

    def _without_goaway(self, data: bytes) -> bytes:
        """The whole frames so far. h2 would take nothing more after a GOAWAY, although open streams go on."""
        self._partial += data
        whole = b""
        while len(self._partial) >= 9 and len(self._partial) >= (size := 9 + int.from_bytes(self._partial[:3])):
            frame, self._partial = self._partial[:size], self._partial[size:]
            if frame[3] == _GOAWAY:
                self.goaways.append(int.from_bytes(frame[9:13]))
                self.goaway = int.from_bytes(frame[13:17])
            else:
                whole += frame
        return whole

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.settings.update({int(code): change.new_value for code, change in event.changed_settings.items()})
        elif isinstance(event, h2.events.ResponseReceived):
            stream = self.streams[event.stream_id]
            stream.headers = [(str(name), str(value)) for name, value in event.headers]
            stream.status = int(stream.header(":status"))
        elif isinstance(event, h2.events.DataReceived):
            stream = self.streams[event.stream_id]
            stream.body += event.data
            stream.unacknowledged += event.flow_controlled_length or 0
            if self._acknowledges:
                self.acknowledge(stream)
        elif isinstance(event, h2.events.TrailersReceived):
            self.streams[event.stream_id].trailers = [(str(name), str(value)) for name, value in event.headers]
        elif isinstance(event, h2.events.StreamEnded):
            self.streams[event.stream_id].ended = True
        elif isinstance(event, h2.events.StreamReset):
            self.streams[event.stream_id].reset = int(event.error_code or 0)
