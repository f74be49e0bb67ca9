"""Responses over HTTP/2: framing, the client's windows, and the end of a connection."""

import pytest
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated
from h2.settings import SettingCodes

from proxy.wire.events import RequestHead, WireLimits
from proxy.wire.http2 import Http2Server
from tests.wire.http2_client import Pair, fields_of

JSON = [(b"content-type", b"application/json")]
SETTINGS, PING, GOAWAY = 0x4, 0x6, 0x7


def frames(output: bytes) -> list[bytes]:
    """The server's bytes, cut into frames."""
    found = []
    while output:
        size = 9 + int.from_bytes(output[:3])
        found.append(output[:size])
        output = output[size:]
    return found


def last_stream(goaway: bytes) -> int:
    return int.from_bytes(goaway[9:13])


def answered_ping(ping: bytes) -> bytes:
    return ping[:4] + b"\x01" + ping[5:]


def asked(method: bytes = b"GET", *, window: int | None = None, end: bool = True) -> Pair:
    pair = Pair(window=window)
    pair.request(fields_of(method), end=end)
    pair.exchange()
    return pair


def test_complete_answer_in_one_go() -> None:
    pair = asked()
    pair.server.send_complete(1, 200, JSON, b"{}")
    pair.exchange()
    assert pair.head() == [(b":status", b"200"), *JSON, (b"content-length", b"2")]
    assert (pair.body(), pair.is_ended(), pair.reset_code()) == (b"{}", True, None)


def test_complete_answer_without_bytes() -> None:
    pair = asked()
    pair.server.send_complete(1, 200, [], b"")
    pair.exchange()
    assert (pair.body(), pair.is_ended()) == (b"", True)


def test_streamed_answer_comes_piece_by_piece() -> None:
    pair = asked()
    pair.server.send_head(1, 200, [], content_length=None)
    pair.server.send_data(1, b"one")
    pair.exchange()
    assert (pair.body(), pair.is_ended()) == (b"one", False)
    pair.server.send_data(1, b"two")
    pair.server.send_end(1)
    pair.exchange()
    assert (pair.body(), pair.is_ended()) == (b"onetwo", True)


def test_trailers_end_the_answer() -> None:
    pair = asked()
    pair.server.send_head(1, 200, [], content_length=None)
    pair.server.send_data(1, b"one")
    pair.server.send_end(1, [(b"x-late", b"1")])
    pair.exchange()
    assert pair.trailers() == [(b"x-late", b"1")]
    assert pair.is_ended()


@pytest.mark.parametrize(
    ("method", "status", "length", "declared"),
    [(b"HEAD", 200, 5, True), (b"HEAD", 200, None, False), (b"GET", 204, 5, False), (b"GET", 304, 5, False)],
)
def test_answers_without_a_body(method: bytes, status: int, length: int | None, declared: bool) -> None:
    pair = asked(method)
    pair.server.send_head(1, status, [], content_length=length)
    pair.server.send_data(1, b"hello")
    pair.server.send_end(1)
    pair.exchange()
    assert ((b"content-length", b"5") in pair.head()) is declared
    assert (pair.body(), pair.is_ended()) == (b"", True)


def test_complete_answer_to_head_has_no_body() -> None:
    pair = asked(b"HEAD")
    pair.server.send_complete(1, 200, [], b"hello")
    pair.exchange()
    assert (pair.head()[-1], pair.body(), pair.is_ended()) == ((b"content-length", b"5"), b"", True)


def test_body_waits_for_the_clients_window() -> None:
    pair = asked(window=10)
    pair.server.send_complete(1, 200, [], b"x" * 25)
    pair.exchange()
    assert (pair.body(), pair.server.unsent(1)) == (b"x" * 10, 15)
    assert not pair.is_ended()
    pair.client.increment_flow_control_window(20, 1)
    pair.exchange()
    assert (pair.body(), pair.server.unsent(1)) == (b"x" * 25, 0)
    assert pair.is_ended()


def test_trailers_wait_behind_the_body() -> None:
    pair = asked(window=10)
    pair.server.send_head(1, 200, [], content_length=None)
    pair.server.send_data(1, b"x" * 12)
    pair.server.send_end(1, [(b"x-late", b"1")])
    pair.server.send_data(1, b"after the end")
    pair.server.send_end(1)
    pair.exchange()
    assert pair.server.unsent(1) == 2
    pair.client.increment_flow_control_window(20, 1)
    pair.exchange()
    assert pair.body() == b"x" * 12
    assert pair.trailers() == [(b"x-late", b"1")]


def test_body_waits_for_the_connections_window() -> None:
    pair = asked(window=1_000_000)
    pair.request(fields_of(), stream_id=3)
    pair.exchange()
    pair.server.send_complete(1, 200, [], b"x" * 65_535)
    pair.server.send_complete(3, 200, [], b"y" * 100)
    pair.exchange()
    assert (len(pair.body(1)), pair.server.unsent(3)) == (65_535, 100)
    pair.client.increment_flow_control_window(100)
    pair.exchange()
    assert pair.body(3) == b"y" * 100


def test_body_goes_on_when_settings_widen_the_window() -> None:
    pair = asked(window=10)
    pair.server.send_complete(1, 200, [], b"x" * 25)
    pair.exchange()
    pair.client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100})
    pair.exchange()
    assert pair.is_ended()


def test_body_beyond_its_promise_is_cut() -> None:
    pair = asked()
    pair.server.send_head(1, 200, [], content_length=3)
    pair.server.send_data(1, b"hello")
    pair.server.send_data(1, b"more")
    pair.server.send_end(1)
    pair.exchange()
    assert (pair.body(), pair.is_ended()) == (b"hel", True)


def test_body_short_of_its_promise_resets_the_stream() -> None:
    pair = asked()
    pair.server.send_head(1, 200, [], content_length=3)
    pair.server.send_data(1, b"he")
    pair.server.send_end(1)
    pair.exchange()
    assert pair.reset_code() == ErrorCodes.INTERNAL_ERROR


def test_abort_resets_the_stream_only() -> None:
    pair = asked()
    pair.server.send_head(1, 200, [], content_length=None)
    pair.server.abort(1)
    pair.exchange()
    assert pair.reset_code() == ErrorCodes.INTERNAL_ERROR
    assert not pair.server.wants_close


def test_answer_before_the_end_of_the_request_stops_it() -> None:
    pair = asked(b"POST", end=False)
    pair.server.send_complete(1, 413, [], b"no")
    pair.exchange()
    assert (pair.body(), pair.is_ended(), pair.reset_code()) == (b"no", True, ErrorCodes.NO_ERROR)


def test_interim_heads_come_before_the_answer_only() -> None:
    pair = asked()
    pair.server.send_head(1, 101, [], content_length=None)
    pair.server.send_head(1, 103, [], content_length=None)
    pair.server.send_head(1, 200, [], content_length=None)
    pair.server.send_continue(1)
    pair.exchange()
    assert pair.interim() == [b"103"]


def test_interim_status_is_no_complete_answer() -> None:
    pair = asked()
    pair.server.send_complete(1, 103, [], b"")
    pair.exchange()
    assert not pair.is_ended()


def test_sending_before_the_head_does_nothing() -> None:
    pair = asked()
    pair.server.send_data(1, b"x")
    pair.server.send_end(1)
    assert pair.server.take_output() == b""


def test_second_answer_is_a_mistake() -> None:
    pair = asked()
    pair.server.send_head(1, 200, [], content_length=None)
    with pytest.raises(RuntimeError):
        pair.server.send_head(1, 500, [], content_length=0)


def test_answers_to_unknown_streams_are_dropped() -> None:
    codec = Http2Server()
    codec.commit()
    codec.take_output()
    codec.send_complete(7, 200, [], b"x")
    codec.send_continue(7)
    assert codec.take_output() == b""


def test_shutdown_says_first_that_it_ends_and_then_where() -> None:
    pair = asked()
    pair.server.shutdown()
    pair.server.shutdown()
    first = frames(pair.server.take_output())
    assert [frame[3] for frame in first] == [PING, GOAWAY]
    assert last_stream(first[1]) == 2**31 - 1
    pair.request(fields_of(), stream_id=3)  # it was on its way
    assert isinstance(pair.server.receive(pair.client.data_to_send())[0], RequestHead)
    assert not pair.server.wants_close
    assert pair.server.receive(answered_ping(first[0])) == []
    (second,) = [frame for frame in frames(pair.server.take_output()) if frame[3] == GOAWAY]
    assert last_stream(second) == 3
    for stream_id in (1, 3):
        pair.server.send_complete(stream_id, 200, [], b"served")
    assert pair.server.wants_close


def test_h2_reads_all_of_the_farewell() -> None:
    pair = asked()
    pair.server.shutdown()
    pair.server.leave()
    told = pair.client.receive_data(pair.server.take_output())
    assert [event.last_stream_id for event in told if isinstance(event, ConnectionTerminated)] == [2**31 - 1, 1]


def test_an_echo_of_another_ping_does_not_end_the_connection() -> None:
    pair = asked()
    pair.server.shutdown()
    pair.server.take_output()
    pair.server.receive(b"\x00\x00\x08\x06\x01" + b"\x00" * 4 + b"whatever")
    assert pair.server.take_output() == b""


def test_shutdown_before_the_first_request_is_said_with_it() -> None:
    codec = Http2Server()
    codec.shutdown()
    assert [frame[3] for frame in frames(codec.take_output())] == [SETTINGS]
    codec.commit()
    assert [frame[3] for frame in frames(codec.take_output())][-2:] == [PING, GOAWAY]


def test_is_quiet_while_no_stream_is_open_and_no_frame_has_begun() -> None:
    pair = asked()
    assert not pair.server.is_quiet
    pair.server.send_complete(1, 200, [], b"served")
    assert pair.server.is_quiet
    pair.server.receive(b"\x00\x00")
    assert not pair.server.is_quiet


def test_leaving_finishes_what_is_open_and_refuses_the_rest() -> None:
    pair = asked()
    pair.server.leave()
    pair.request(fields_of(), stream_id=3)
    late = pair.client.data_to_send()
    pair.exchange()
    assert pair.goaway() == ErrorCodes.NO_ERROR
    assert not pair.server.wants_close
    assert pair.server.receive(late) == []
    pair.server.send_complete(1, 200, [], b"last")
    assert pair.server.wants_close
    output = pair.server.take_output()
    assert b"last" in output
    assert b"\x00\x00\x04\x03\x00\x00\x00\x00\x03\x00\x00\x00\x07" in output  # stream 3: REFUSED_STREAM
    pair.server.leave()
    pair.server.shutdown()
    assert pair.server.take_output() == b""


def test_leaving_of_an_idle_connection_closes_at_once() -> None:
    codec = Http2Server()
    codec.leave()
    assert codec.wants_close
    assert codec.take_output() == (
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + b"\x00" * 8
    )


def test_shutdown_after_an_error_adds_nothing() -> None:
    codec = Http2Server()
    codec.receive(b"nonsense")
    codec.take_output()
    codec.shutdown()
    codec.leave()
    assert codec.take_output() == b""


def test_small_windows_are_announced_too() -> None:
    pair = Pair(WireLimits(initial_window_bytes=1000))
    assert pair.client.remote_settings.initial_window_size == 1000
    pair.request(fields_of())
    assert isinstance(pair.exchange()[0], RequestHead)
