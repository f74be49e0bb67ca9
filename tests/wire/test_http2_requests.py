"""HTTP/2 requests: what the codec says about streams, and how it keeps a client in its bounds."""

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, HeadersFrame, PingFrame
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange.headers import HeaderList
from proxy.wire.events import BadRequest, Event, RequestData, RequestEnd, RequestHead, StreamReset, WireLimits
from proxy.wire.http2 import Http2Server
from proxy.wire.http2_frames import PREFACE
from tests.wire.feeding import bytewise, cut, merged, receive_all
from tests.wire.http2_client import Pair, fields_of

POST = fields_of(b"POST", b"/v1/chat?x=1", (b"authorization", b"Bearer abc"), (b"content-length", b"5"))


def recorded() -> bytes:
    """All a client sends for two requests, one with trailers."""
    pair = Pair(commit=False)
    pair.request(POST, b"hello")
    pair.request(fields_of(b"PUT"), b"abc", end=False, stream_id=3)
    pair.client.send_headers(3, [(b"x-checksum", b"1")], end_stream=True)
    return pair.client.data_to_send()


def test_request_gives_head_body_and_end() -> None:
    pair = Pair()
    pair.request(POST, b"hello")
    head = RequestHead(1, b"POST", b"/v1/chat?x=1", b"a", POST[4:], "2", 5, has_body=True)
    assert pair.exchange() == [head, RequestData(1, b"hello"), RequestEnd(1)]


def test_byte_by_byte_gives_the_same_events() -> None:
    raw = recorded()
    assert receive_all(Http2Server(), bytewise(raw)) == receive_all(Http2Server(), [raw])


def test_trailing_bytes_change_nothing() -> None:
    raw = recorded()
    codec = Http2Server()
    assert receive_all(codec, [raw + b"\x00\x00\x08\x06"]) == receive_all(Http2Server(), [raw])
    assert codec.buffered() == 4


@given(st.lists(st.integers(min_value=0, max_value=400), max_size=8))
def test_any_split_gives_the_same_events(positions: list[int]) -> None:
    raw = recorded()
    assert receive_all(Http2Server(), cut(raw, positions)) == receive_all(Http2Server(), [raw])


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_random_bytes_after_the_preface_never_raise(pieces: list[bytes]) -> None:
    codec = Http2Server()
    codec.receive(PREFACE)
    for piece in pieces:
        codec.receive(piece)
    codec.take_output()


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=30)), max_size=8)
)
def test_random_frames_never_raise(frames: list[tuple[int, int, int, bytes]]) -> None:
    codec = Http2Server()
    codec.receive(PREFACE + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
    for kind, flags, stream_id, payload in frames:
        header = len(payload).to_bytes(3) + bytes([kind, flags]) + stream_id.to_bytes(4)
        for event in codec.receive(header + payload):
            if isinstance(event, RequestHead):
                codec.send_complete(event.stream_id, 200, [], b"ok")
    codec.receive_eof()
    codec.take_output()


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=6))
def test_random_fields_never_raise(extra: HeaderList) -> None:
    pair = Pair()
    pair.request(fields_of(b"GET", b"/", *extra))
    pair.exchange()


def test_trailers_come_with_the_end() -> None:
    events = receive_all(Http2Server(), [recorded()])
    assert events[-1] == RequestEnd(3, [(b"x-checksum", b"1")])


def test_get_has_no_body() -> None:
    pair = Pair()
    pair.request(fields_of())
    head, end = pair.exchange()
    assert isinstance(head, RequestHead)
    assert (head.has_body, head.content_length, end) == (False, None, RequestEnd(1))


def test_length_zero_with_a_late_end_is_no_body() -> None:
    pair = Pair()
    pair.request(fields_of(b"POST", b"/", (b"content-length", b"0")), b"")
    head, end = pair.exchange()
    assert isinstance(head, RequestHead)
    assert (head.has_body, head.content_length, end) == (False, 0, RequestEnd(1))


def test_host_stands_in_for_a_missing_authority() -> None:
    pair = Pair()
    pair.request([(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b"host", b"b:81")])
    head = pair.exchange()[0]
    assert isinstance(head, RequestHead)
    assert (head.authority, head.headers) == (b"b:81", [(b"host", b"b:81")])


def test_cookies_are_put_together() -> None:
    pair = Pair()
    pair.request(fields_of(b"GET", b"/", (b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2")))
    head = pair.exchange()[0]
    assert isinstance(head, RequestHead)
    assert head.headers == [(b"cookie", b"a=1; b=2"), (b"x", b"y")]


def test_options_star_and_connect_are_taken() -> None:
    pair = Pair()
    pair.request(fields_of(b"OPTIONS", b"*"))
    pair.request([(b":method", b"CONNECT"), (b":authority", b"b:443")], end=False, stream_id=3)
    heads = [event for event in pair.exchange() if isinstance(event, RequestHead)]
    assert [(head.target, head.upgrade) for head in heads] == [(b"*", False), (b"b:443", True)]


def test_expect_continue_is_flagged_and_answered() -> None:
    pair = Pair()
    pair.request(fields_of(b"POST", b"/", (b"expect", b"100-continue")), end=False)
    (head,) = pair.exchange()
    assert isinstance(head, RequestHead)
    assert head.expect_continue
    pair.server.send_continue(1)
    pair.exchange()
    assert pair.interim() == [b"100"]


MALFORMED: dict[str, HeaderList] = {
    "no method": [(b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")],
    "bad method": fields_of(b"G T"),
    "no scheme": [(b":method", b"GET"), (b":authority", b"a"), (b":path", b"/")],
    "odd scheme": [(b":method", b"GET"), (b":scheme", b"file"), (b":authority", b"a"), (b":path", b"/")],
    "no path": [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a")],
    "empty path": fields_of(b"GET", b""),
    "relative path": fields_of(b"GET", b"a"),
    "star path": fields_of(b"GET", b"*"),
    "path with control": fields_of(b"GET", b"/\x01"),
    "path with fragment": fields_of(b"GET", b"/#a"),
    "no authority": [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/")],
    "empty authority": fields_of(authority=b""),
    "userinfo": fields_of(authority=b"u@a"),
    "two hosts that differ": fields_of(b"GET", b"/", (b"host", b"b")),
    "repeated host": fields_of(b"GET", b"/", (b"host", b"a"), (b"host", b"a")),
    "repeated pseudo": [*fields_of(), (b":path", b"/b")],
    "unknown pseudo": [(b":odd", b"x"), *fields_of()],
    "response pseudo": [*fields_of(), (b":status", b"2")],
    "late pseudo": [(b":method", b"GET"), (b"x", b"y"), (b":path", b"/"), (b":scheme", b"https")],
    "CONNECT with path": fields_of(b"CONNECT"),
    "upper case": fields_of(b"GET", b"/", (b"X-Y", b"z")),
    "name with space": fields_of(b"GET", b"/", (b"x y", b"z")),
    "empty name": fields_of(b"GET", b"/", (b"", b"z")),
    "value with NUL": fields_of(b"GET", b"/", (b"x", b"a\x00")),
    "value with CRLF": fields_of(b"GET", b"/", (b"x", b"a\r\nb: c")),
    "value with blanks": fields_of(b"GET", b"/", (b"x", b" a")),
    "connection": fields_of(b"GET", b"/", (b"connection", b"close")),
    "keep-alive": fields_of(b"GET", b"/", (b"keep-alive", b"1")),
    "proxy-connection": fields_of(b"GET", b"/", (b"proxy-connection", b"close")),
    "transfer-encoding": fields_of(b"GET", b"/", (b"transfer-encoding", b"chunked")),
    "upgrade": fields_of(b"GET", b"/", (b"upgrade", b"h2c")),
    "te": fields_of(b"GET", b"/", (b"te", b"gzip")),
    "length without a body": fields_of(b"GET", b"/", (b"content-length", b"5")),
    "length plus": fields_of(b"GET", b"/", (b"content-length", b"+0")),
    "two lengths": fields_of(b"GET", b"/", (b"content-length", b"0"), (b"content-length", b"0")),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_request_costs_its_stream_only(name: str) -> None:
    pair = Pair()
    pair.request(MALFORMED[name])
    assert pair.exchange() == []
    assert pair.reset_code() == ErrorCodes.PROTOCOL_ERROR
    pair.request(fields_of(b"GET", b"/", (b"te", b"trailers")), stream_id=3)
    assert isinstance(pair.exchange()[0], RequestHead)


@pytest.mark.parametrize("is_ended", [True, False])
@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (b"414", fields_of(b"GET", b"/" + b"a" * 100)),
        (b"417", fields_of(b"GET", b"/", (b"expect", b"wonders"))),
        (b"431", fields_of(b"GET", b"/", *[(b"x", b"y")] * 11)),
    ],
)
def test_requests_beyond_a_limit_are_answered(status: bytes, fields: HeaderList, is_ended: bool) -> None:
    pair = Pair(WireLimits(max_header_fields=10, max_target_bytes=100))
    pair.request(fields, end=is_ended)
    assert pair.exchange() == []
    assert pair.head()[0] == (b":status", status)
    assert pair.is_ended()
    assert pair.reset_code() == (None if is_ended else ErrorCodes.NO_ERROR)
    assert not pair.server.wants_close


@pytest.mark.parametrize("trailer", [(b"X", b"y"), (b":path", b"/"), (b"content-length", b"5"), (b"x", b"\n")])
def test_malformed_trailers_reset_the_stream(trailer: tuple[bytes, bytes]) -> None:
    pair = Pair()
    pair.request(fields_of(b"POST"), b"body", end=False)
    pair.client.send_headers(1, [trailer], end_stream=True)
    assert pair.exchange()[-1] == StreamReset(1)
    assert pair.reset_code() == ErrorCodes.PROTOCOL_ERROR


def test_too_many_trailers_reset_the_stream() -> None:
    pair = Pair(WireLimits(max_header_fields=10))
    pair.request(fields_of(b"POST"), b"body", end=False)
    pair.client.send_headers(1, [(b"x", b"y")] * 11, end_stream=True)
    assert pair.exchange()[-1] == StreamReset(1)


def bad(events: list[Event]) -> BadRequest:
    event = events[-1]
    assert isinstance(event, BadRequest)
    return event


@pytest.mark.parametrize(("length", "body"), [(b"3", b"hello"), (b"9", b"hello"), (b"x", b"hello")])
def test_body_that_contradicts_its_length_costs_the_connection(length: bytes, body: bytes) -> None:
    pair = Pair()
    pair.request(fields_of(b"POST", b"/", (b"content-length", length)), body)
    assert bad(pair.exchange()).status == 400
    assert pair.goaway() == ErrorCodes.PROTOCOL_ERROR
    assert pair.server.wants_close
    assert pair.server.receive(b"more") == []


@pytest.mark.parametrize("raw", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03", PREFACE[:-1] + b"x"])
def test_anything_but_the_preface_is_refused(raw: bytes) -> None:
    codec = Http2Server()
    assert bad(receive_all(codec, bytewise(raw))).reason == "malformed connection preface"
    assert codec.take_output()[9:].startswith(b"\x00\x00\x08\x07")


def test_overlong_frame_is_refused_by_its_header() -> None:
    codec = Http2Server()
    events = codec.receive(PREFACE + b"\x00\x40\x01\x00\x00\x00\x00\x00\x01")
    assert bad(events).reason == "frame too large"
    assert codec.wants_close


def test_events_before_an_error_are_not_lost() -> None:
    codec = Http2Server()
    events = codec.receive(recorded() + b"\x00\x00\x00\x06\x00\x00\x00\x00\x00" + b"\x00")
    assert len([event for event in events if isinstance(event, RequestHead)]) == 2
    assert bad(events).status == 400


def test_head_larger_than_its_limit_costs_the_connection() -> None:
    pair = Pair(WireLimits(max_head_bytes=1000))
    pair.request(fields_of(b"GET", b"/", (b"x", b"y" * 1000)))
    assert bad(pair.exchange()).status == 400


def test_streams_beyond_the_limit_are_refused() -> None:
    pair = Pair(WireLimits(max_concurrent_streams=2), commit=False)
    for stream_id in (1, 3, 5):
        pair.request(fields_of(), stream_id=stream_id)
    heads = [event for event in pair.exchange() if isinstance(event, RequestHead)]
    assert [head.stream_id for head in heads] == [1, 3]
    pair.server.commit()
    pair.exchange()
    assert pair.reset_code(5) == ErrorCodes.REFUSED_STREAM


def test_cancelled_request_is_reported() -> None:
    pair = Pair()
    pair.request(fields_of(b"POST"), b"x", end=False)
    pair.exchange()
    pair.client.reset_stream(1, ErrorCodes.CANCEL)
    assert pair.exchange() == [StreamReset(1)]
    pair.server.send_head(1, 200, [], content_length=None)
    pair.server.send_data(1, b"late")
    pair.server.send_end(1)
    pair.server.abort(1)
    pair.server.acknowledge(1, 1)
    assert pair.server.unsent(1) == 0
    assert pair.server.take_output() == b""


def test_reset_after_the_answer_is_not_reported() -> None:
    pair = Pair()
    pair.request(fields_of(b"POST"), b"x", end=False)
    pair.exchange()
    pair.server.send_complete(1, 200, [], b"")
    pair.client.reset_stream(1, ErrorCodes.CANCEL)
    assert pair.exchange() == []


def test_rapid_resets_end_the_connection() -> None:
    pair = Pair()
    for number in range(300):
        pair.request(fields_of(), stream_id=2 * number + 1)
        pair.client.reset_stream(2 * number + 1, ErrorCodes.CANCEL)
    events = pair.exchange()
    assert bad(events).reason == "too many cancelled requests"
    assert pair.goaway() == ErrorCodes.ENHANCE_YOUR_CALM


def test_answered_requests_earn_cancellations_back() -> None:
    pair = Pair()
    for number in range(300):
        answered, cancelled, begun = 6 * number + 1, 6 * number + 3, 6 * number + 5
        for stream_id in (answered, cancelled, begun):
            pair.request(fields_of(), stream_id=stream_id)
        pair.exchange()
        pair.server.send_complete(answered, 200, [], b"ok")
        pair.server.send_head(begun, 200, [], content_length=None)
        pair.client.reset_stream(cancelled, ErrorCodes.CANCEL)
        pair.client.reset_stream(begun, ErrorCodes.CANCEL)
        assert pair.exchange() == [StreamReset(cancelled), StreamReset(begun)]


@pytest.mark.parametrize(
    "frame", [PingFrame(0, b"12345678").serialize(), b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", DataFrame(1).serialize()]
)
def test_floods_of_empty_frames_end_the_connection(frame: bytes) -> None:
    pair = Pair()
    pair.request(fields_of(b"POST"), end=False)
    pair.exchange()
    events = [event for _ in range(11) for event in pair.server.receive(frame * 1000)]
    assert bad(events).reason == "too many frames without a request"


def test_endless_continuation_ends_the_connection() -> None:
    pair = Pair()
    raw = HeadersFrame(1, b"").serialize() + b"\x00\x00\x00\x09\x00\x00\x00\x00\x01" * 100
    assert bad(pair.server.receive(raw)).status == 400


def test_client_that_leaves_gets_its_answers() -> None:
    pair = Pair()
    pair.request(fields_of())
    pair.exchange()
    leaving = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + b"\x00" * 8
    assert pair.server.receive(leaving) == []
    assert not pair.server.wants_close
    pair.server.send_complete(1, 200, [], b"bye")
    pair.exchange()
    assert pair.body() == b"bye"
    assert pair.server.wants_close


def test_end_of_input_inside_a_request_is_bad() -> None:
    pair = Pair()
    pair.request(fields_of(b"POST"), b"half", end=False)
    pair.exchange()
    assert bad(pair.server.receive_eof()).status == 400
    assert pair.server.wants_close
    assert pair.server.receive_eof() == []


def test_end_of_input_behind_a_request_lets_it_be_answered() -> None:
    pair = Pair()
    pair.request(fields_of())
    pair.exchange()
    assert pair.server.receive_eof() == []
    assert not pair.server.wants_close
    pair.server.send_complete(1, 200, [], b"")
    assert pair.server.wants_close


def test_the_next_request_needs_no_permission() -> None:
    assert Http2Server().next_request() == []


def test_requests_wait_for_acknowledgement_of_their_body() -> None:
    pair = Pair(WireLimits(initial_window_bytes=100_000))
    pair.request(fields_of(b"POST"), end=False)
    for _ in range(10):
        pair.client.send_data(1, b"x" * 10_000)
    pair.exchange()
    assert pair.client.local_flow_control_window(1) == 0
    pair.server.acknowledge(1, 80_000)
    pair.exchange()
    assert pair.client.local_flow_control_window(1) == 80_000


def test_ended_streams_give_the_connection_its_window_back() -> None:
    pair = Pair(WireLimits(initial_window_bytes=50_000))
    window = pair.client.outbound_flow_control_window
    for number in range(20):
        stream_id = 2 * number + 1
        pair.request(fields_of(b"POST"), end=False, stream_id=stream_id)
        for _ in range(5):
            pair.client.send_data(stream_id, b"x" * 10_000)
        pair.exchange()
        pair.server.send_complete(stream_id, 413, [], b"")
        pair.exchange()
    assert pair.client.outbound_flow_control_window > window // 2


def test_padding_is_acknowledged_at_once() -> None:
    pair = Pair(WireLimits(initial_window_bytes=65_535))
    pair.request(fields_of(b"POST"), end=False)
    for _ in range(1000):
        pair.client.send_data(1, b"x", pad_length=255)
        pair.exchange()
    assert pair.client.local_flow_control_window(1) > 30_000
    assert sum(len(event.data) for event in merged(pair.events) if isinstance(event, RequestData)) == 1000


def test_acknowledging_more_than_came_opens_no_more() -> None:
    pair = Pair(WireLimits(initial_window_bytes=65_535))
    pair.request(fields_of(b"POST"), b"x" * 10, end=False)
    pair.exchange()
    pair.server.acknowledge(1, 1_000_000)
    pair.exchange()
    assert pair.client.local_flow_control_window(1) <= 65_535
