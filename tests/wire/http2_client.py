"""A client for HTTP/2 tests: the h2 package's client role, joined to the codec under test by plain calls."""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.events import Event as H2Event
from h2.settings import SettingCodes

from proxy.exchange.headers import HeaderList
from proxy.wire.events import Event, WireLimits
from proxy.wire.http2 import Http2Server


def fields_of(
    method: bytes = b"GET", path: bytes = b"/", *extra: tuple[bytes, bytes], authority: bytes = b"a"
) -> HeaderList:
    """The fields of an ordinary request."""
    pseudo = [(b":method", method), (b":scheme", b"https"), (b":authority", authority), (b":path", path)]
    return [*pseudo, *extra]


class Pair:
    """A client and the server codec, with what each has seen."""

    def __init__(self, limits: WireLimits | None = None, *, commit: bool = True, window: int | None = None) -> None:
        self.server = Http2Server(limits)
        self.client = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.client.initiate_connection()
        if window is not None:
            self.client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.seen: list[H2Event] = []
        self.events: list[Event] = []
        if commit:
            self.exchange()
            self.server.commit()
            self.exchange()
            self.events.clear()

    def exchange(self) -> list[Event]:
        """Carry bytes both ways until nobody has any; what the server said meanwhile."""
        said: list[Event] = []
        while True:
            out = self.client.data_to_send()
            if out:
                said += self.server.receive(out)
            back = self.server.take_output()
            if back:
                self.seen += self.client.receive_data(back)
            if not out and not back:
                self.events += said
                return said

    def request(self, fields: HeaderList, body: bytes | None = None, *, end: bool = True, stream_id: int = 1) -> int:
        """Open a stream; the bytes wait for `exchange`."""
        self.client.send_headers(stream_id, fields, end_stream=end and body is None)
        if body is not None:
            self.client.send_data(stream_id, body, end_stream=end)
        return stream_id

    def head(self, stream_id: int = 1) -> HeaderList:
        """The fields of the answer."""
        (event,) = [e for e in self.seen if isinstance(e, ResponseReceived) and e.stream_id == stream_id]
        return [(bytes(name), bytes(value)) for name, value in event.headers]

    def interim(self) -> list[bytes]:
        """The statuses of interim heads."""
        return [bytes(e.headers[0][1]) for e in self.seen if isinstance(e, InformationalResponseReceived)]

    def body(self, stream_id: int = 1) -> bytes:
        """The body of the answer so far."""
        return b"".join(e.data for e in self.seen if isinstance(e, DataReceived) and e.stream_id == stream_id)

    def trailers(self) -> HeaderList:
        """The trailers of the only answer that has some."""
        (event,) = [e for e in self.seen if isinstance(e, TrailersReceived)]
        return [(bytes(name), bytes(value)) for name, value in event.headers]

    def is_ended(self, stream_id: int = 1) -> bool:
        """The answer is complete."""
        return any(isinstance(e, StreamEnded) and e.stream_id == stream_id for e in self.seen)

    def reset_code(self, stream_id: int = 1) -> int | None:
        """The code with which the server reset the stream."""
        codes = [e.error_code for e in self.seen if isinstance(e, StreamReset) and e.stream_id == stream_id]
        return None if not codes else int(codes[0] or 0)

    def goaway(self) -> int | None:
        """The code of the server's GOAWAY."""
        codes = [e.error_code for e in self.seen if isinstance(e, ConnectionTerminated)]
        return None if not codes else int(codes[0] or 0)
