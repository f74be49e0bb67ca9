"""Our client's half of HTTP/2 against another implementation of the server's, and against servers that misbehave."""

from collections.abc import Callable

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from proxy.exchange.headers import HeaderList
from proxy.wire.http2_client import REFUSED_STREAM, STREAM_WINDOW, Http2Client, Http2Error
from proxy.wire.http2_outgoing import Outgoing, frame

REQUEST: HeaderList = [
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":authority", b"api.openai.com"),
    (b":path", b"/v1/x"),
]
HEAD = [(":status", "200"), ("content-type", "text/plain")]


class Call(Outgoing):
    def __init__(self) -> None:
        super().__init__(declares_length=True)
        self.heads: list[HeaderList] = []
        self.body = b""
        self.has_ended = False
        self.code: int | None = None
        self.rooms = 0

    def on_head(self, fields: HeaderList, *, is_end: bool) -> None:
        self.heads.append(fields)
        self.has_ended = is_end

    def on_data(self, data: bytes, *, is_end: bool) -> None:
        self.body += data
        self.has_ended = is_end

    def on_reset(self, code: int) -> None:
        self.code = code

    def on_room(self) -> None:
        self.rooms += 1


class Pair:
    """Our client and h2's server, with their bytes carried to and fro in pieces of `step` bytes."""

    def __init__(self, settings: dict[int, int] | None = None, step: int = 1 << 20) -> None:
        self.client = Http2Client()
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self.server.initiate_connection()
        self.server.update_settings(settings or {})
        self.step = step
        self.events: list[h2.events.Event] = []

    def carry(self) -> None:
        """Until both are silent."""
        while True:
            up, down = self.client.take_output(), self.server.data_to_send()
            if not up and not down:
                return
            for at in range(0, len(up), self.step):
                self.events += self.server.receive_data(up[at : at + self.step])
            for at in range(0, len(down), self.step):
                self.client.receive(down[at : at + self.step])

    def call(self, body: bytes | None = b"{}") -> Call:
        call = Call()
        self.client.open(call, REQUEST, body)
        self.carry()
        return call

    def answer(self, call: Call, body: bytes = b"ok") -> None:
        self.server.send_headers(call.id, HEAD)
        self.server.send_data(call.id, body, end_stream=True)
        self.carry()

    def received(self, call: Call) -> bytes:
        """What the server has got of a request's body; the windows are not refilled."""
        pieces = [
            each for each in self.events if isinstance(each, h2.events.DataReceived) and each.stream_id == call.id
        ]
        return b"".join(each.data for each in pieces)

    def refill(self, count: int, call: Call | None = None) -> None:
        self.server.increment_flow_control_window(count, None if call is None else call.id)
        self.carry()


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_a_call_and_its_answer_however_the_bytes_are_cut(step: int) -> None:
    pair = Pair(step=step)
    for number in range(3):
        call = pair.call(b"body %d" % number)
        assert pair.received(call) == b"body %d" % number
        pair.answer(call, b"answer %d" % number)
        assert call.body == b"answer %d" % number
        assert call.has_ended
        assert (b":status", b"200") in call.heads[0]
    requests = [each for each in pair.events if isinstance(each, h2.events.RequestReceived)]
    assert [each.headers[:4] for each in requests] == [REQUEST] * 3
    assert not pair.client.streams


def test_a_call_without_a_body_ends_with_its_head() -> None:
    pair = Pair()
    call = pair.call(b"")
    assert any(isinstance(each, h2.events.StreamEnded) for each in pair.events)
    pair.answer(call)
    assert call.has_ended
    assert not any(isinstance(each, h2.events.StreamReset) for each in pair.events)


def test_the_servers_limit_is_known_once_it_has_said_so() -> None:
    assert Http2Client().stream_limit is None
    pair = Pair({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 37})
    pair.carry()
    assert pair.client.stream_limit == 37
    silent = Http2Client()
    silent.receive(frame(4, 0, 0, b""))
    assert silent.stream_limit == 100


def test_a_large_body_waits_for_the_servers_windows() -> None:
    pair = Pair()
    body = bytes(range(256)) * 1000
    call = pair.call(body)
    assert pair.received(call) == body[:65_535]
    assert not call.is_sent
    pair.refill(100_000)
    pair.refill(50_000, call)
    assert pair.received(call) == body[:115_535]
    pair.refill(1_000_000)
    pair.refill(1_000_000, call)
    assert pair.received(call) == body
    assert call.is_sent


def test_a_larger_initial_window_lets_a_body_that_waits_go_on() -> None:
    pair = Pair()
    body = bytes(100_000)
    call = pair.call(body)
    pair.refill(1_000_000)
    assert len(pair.received(call)) == 65_535
    pair.server.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 200_000})
    pair.carry()
    assert pair.received(call) == body


def test_a_body_waits_while_the_socket_is_full() -> None:
    pair = Pair()
    pair.client.hold(is_held=True)
    call = pair.call(b"x" * 1000)
    assert pair.received(call) == b""
    pair.client.hold(is_held=False)
    pair.carry()
    assert pair.received(call) == b"x" * 1000


def test_a_body_in_pieces_says_when_there_is_room() -> None:
    pair = Pair()
    call = pair.call(None)
    for piece in (b"a" * 60_000, b"b" * 60_000, b"c"):
        pair.client.send(call, piece, is_end=False)
    pair.client.send(call, b"", is_end=True)
    pair.carry()
    assert call.rooms == 1  # the first piece
    pair.refill(200_000)
    pair.refill(200_000, call)
    assert pair.received(call) == b"a" * 60_000 + b"b" * 60_000 + b"c"
    assert call.rooms == 2
    assert call.is_sent
    assert any(isinstance(each, h2.events.StreamEnded) for each in pair.events)


def test_the_end_of_a_body_needs_no_window() -> None:
    pair = Pair()
    call = pair.call(None)
    pair.client.hold(is_held=True)
    pair.client.send(call, b"", is_end=True)
    pair.carry()
    assert any(isinstance(each, h2.events.StreamEnded) for each in pair.events)


def test_a_long_head_goes_in_continuations() -> None:
    pair = Pair()
    call = Call()
    fields = [*REQUEST, *((b"x-%d" % number, b"v" * 4000) for number in range(10))]
    pair.client.open(call, fields, b"")
    pair.carry()
    (request,) = [each for each in pair.events if isinstance(each, h2.events.RequestReceived)]
    assert request.headers[:14] == fields


def test_an_answers_window_is_refilled_as_it_is_read() -> None:
    pair = Pair()
    call = pair.call()
    pair.server.send_headers(call.id, HEAD)
    sent = 0
    while (room := min(pair.server.local_flow_control_window(call.id), 16_384)) > 0:
        pair.server.send_data(call.id, bytes(room))
        sent += room
        pair.carry()
    assert sent == len(call.body) == STREAM_WINDOW  # nobody has read a byte
    other = pair.call()
    pair.answer(other, b"not held up")
    assert other.body == b"not held up"
    assert not pair.client.consumed(call, 1000)
    assert pair.client.consumed(call, STREAM_WINDOW - 1000)
    pair.carry()
    assert pair.server.local_flow_control_window(call.id) == STREAM_WINDOW


def test_a_call_that_is_given_up_is_reset_and_told_nothing_more() -> None:
    pair = Pair()
    call = pair.call(bytes(200_000))
    pair.server.send_headers(call.id, HEAD)
    pair.server.send_data(call.id, b"under way")
    pair.client.reset(call)
    pair.client.receive(pair.server.data_to_send())
    assert not call.heads
    pair.carry()
    assert any(isinstance(each, h2.events.StreamReset) for each in pair.events)
    pair.client.reset(call)
    assert pair.client.take_output() == b""
    pair.client.send(call, b"late", is_end=True)
    assert pair.client.take_output() == b""


def test_an_answer_before_the_request_was_read_ends_the_request() -> None:
    pair = Pair()
    call = pair.call(bytes(200_000))
    pair.answer(call)
    assert call.has_ended
    (reset,) = [each for each in pair.events if isinstance(each, h2.events.StreamReset)]
    assert reset.error_code == 0


def test_a_stream_that_the_server_resets() -> None:
    pair = Pair()
    call = pair.call(bytes(200_000))
    pair.server.reset_stream(call.id, REFUSED_STREAM)
    pair.carry()
    assert call.code == REFUSED_STREAM
    assert not pair.client.streams


def test_after_a_goaway_only_what_it_names_goes_on() -> None:
    pair = Pair()
    first, second = pair.call(), pair.call(bytes(200_000))
    pair.client.receive(frame(7, 0, 0, first.id.to_bytes(4) + bytes(4)))
    assert pair.client.is_closing
    assert (first.code, second.code) == (None, REFUSED_STREAM)
    pair.answer(first)
    assert first.has_ended


def test_heads_before_the_answer_and_fields_after_it_are_told() -> None:
    pair = Pair()
    call = pair.call()
    pair.server.send_headers(call.id, [(":status", "103"), ("link", "x")])
    pair.server.send_headers(call.id, HEAD)
    pair.server.send_data(call.id, b"ok")
    pair.server.send_headers(call.id, [("x-after", "1")], end_stream=True)
    pair.carry()
    assert [head[0] for head in call.heads] == [(b":status", b"103"), (b":status", b"200"), (b"x-after", b"1")]
    assert call.has_ended


def test_padding_and_priority_are_taken_off() -> None:
    client, call = Http2Client(), Call()
    client.open(call, REQUEST, b"")
    block = b"\x88"
    client.receive(frame(1, 0x4 | 0x8 | 0x20, 1, b"\x02" + bytes(5) + block + bytes(2)))
    client.receive(frame(0, 0x8, 1, b"\x03ok" + bytes(3)))
    client.receive(frame(0, 0x9, 1, b"\x00"))
    assert call.heads == [[(b":status", b"200")]]
    assert call.body == b"ok"
    assert call.has_ended


def test_a_head_in_pieces() -> None:
    client, call = Http2Client(), Call()
    client.open(call, REQUEST, b"")
    client.receive(frame(1, 0x1, 1, b"\x88"))
    assert not call.heads
    client.receive(frame(9, 0, 1, b"\x00\x01a"))
    client.receive(frame(9, 0x4, 1, b"\x01b"))
    assert call.heads == [[(b":status", b"200"), (b"a", b"b")]]
    assert call.has_ended


def test_a_ping_is_answered_and_ours_too() -> None:
    pair = Pair()
    pair.carry()
    pair.server.ping(b"12345678")
    pair.client.ping()
    assert pair.client.pings_unanswered == 1
    pair.carry()
    assert pair.client.pings_unanswered == 0
    assert any(isinstance(each, h2.events.PingAckReceived) for each in pair.events)


def test_what_we_do_not_know_is_passed_over() -> None:
    client, call = Http2Client(), Call()
    client.open(call, REQUEST, b"")
    client.receive(frame(2, 0, 1, bytes(5)) + frame(0xFA, 0, 1, b"?") + frame(8, 0, 99, bytes(3) + b"\x01"))
    client.receive(frame(3, 0, 99, bytes(4)))
    assert not client.is_closing


def test_a_goodbye_is_said_once() -> None:
    pair = Pair()
    pair.carry()
    pair.client.goodbye()
    pair.client.goodbye()
    pair.carry()
    assert sum(isinstance(each, h2.events.ConnectionTerminated) for each in pair.events) == 1


def _settings(name: int, value: int) -> bytes:
    return frame(4, 0, 0, name.to_bytes(2) + value.to_bytes(4))


@pytest.mark.parametrize(
    "said",
    [
        (16_385).to_bytes(3) + bytes(6),  # longer than we allow
        frame(5, 0x4, 1, bytes(4) + b"\x88"),  # a push
        frame(1, 0x4, 2, b"\x88"),  # a stream of the server's own
        frame(1, 0x4, 99, b"\x88"),  # one that was never opened
        frame(0, 0, 99, b"x"),
        frame(1, 0x4, 1, b"\xff\xff\xff\xff\xff"),  # a block that nobody can read
        frame(1, 0x4 | 0x8, 1, b"\x09"),  # more padding than frame
        frame(0, 0x8, 1, b""),
        frame(9, 0x4, 1, b"\x88"),  # a continuation of nothing
        frame(1, 0, 1, b"\x88") + frame(6, 0, 0, bytes(8)),  # something within a head
        frame(1, 0, 1, b"\x88") + frame(9, 0x4, 3, b""),
        frame(1, 0, 1, bytes(16_384)) + frame(9, 0, 1, bytes(16_384)) * 4,  # a head without end
        frame(4, 0, 0, b"12345"),
        _settings(4, 2**31),
        _settings(5, 100),
        _settings(5, 2**24),
        frame(8, 0, 0, b"\x7f\xff\xff\xff"),
        frame(8, 0, 1, b"\x7f\xff\xff\xff"),
        b"".join(frame(0, 0, 1, bytes(16_384)) for _ in range(65)),  # beyond the window
    ],
)
def test_a_server_that_breaks_the_protocol_ends_the_connection(said: bytes) -> None:
    client = Http2Client()
    client.open(Call(), REQUEST, b"")
    client.take_output()
    with pytest.raises(Http2Error):
        client.receive(said)
    assert client.is_closing
    assert client.take_output()[-17 + 3 : -17 + 4] == b"\x07"  # GOAWAY


def test_the_last_stream_of_a_connection_closes_it_to_more() -> None:
    client = Http2Client()
    client._next_id = 2**31 - 3  # a billion calls later
    client.open(Call(), REQUEST, b"")
    assert client.is_closing


def test_settings_that_are_acknowledged_say_nothing() -> None:
    client = Http2Client()
    client.take_output()
    client.receive(frame(4, 1, 0, b""))
    assert client.take_output() == b""
    assert client.stream_limit is None


def test_the_connections_window_is_refilled_as_bytes_arrive() -> None:
    client = Http2Client()
    grants: list[int] = []
    told: Callable[[], bytes] = client.take_output
    for _ in range(5):
        call = Call()
        client.open(call, REQUEST, b"")
        told()
        client.receive(b"".join(frame(0, 0, call.id, bytes(16_384)) for _ in range(64)))
        grants += [len(told())]
    assert 13 in grants
