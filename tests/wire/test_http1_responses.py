"""Responses over HTTP/1.x: framing, keep-alive, and when the connection must be closed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.events import RequestData
from proxy.wire.http1 import Http1Server, complete_head

JSON = [(b"content-type", b"application/json")]


def asked(
    method: bytes = b"GET", *, fields: bytes = b"", version: bytes = b"HTTP/1.1", body: bytes = b""
) -> Http1Server:
    codec = Http1Server()
    codec.receive(b"%b / %b\r\nHost: a\r\n%b\r\n%b" % (method, version, fields, body))
    return codec


def test_complete_answer_in_one_go() -> None:
    codec = asked()
    codec.send_complete(0, 200, JSON, b"{}")
    assert codec.take_output() == b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    assert codec.take_output() == b""
    assert not codec.wants_close


def test_known_length_is_declared() -> None:
    codec = asked()
    codec.send_head(0, 200, [], content_length=5)
    codec.send_data(0, b"hel")
    codec.send_data(0, b"lo")
    codec.send_end(0, [(b"x-late", b"dropped")])
    assert codec.take_output() == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
    assert not codec.wants_close


def test_unknown_length_is_chunked() -> None:
    codec = asked()
    codec.send_head(0, 200, [], content_length=None)
    codec.send_data(0, b"hello, world!!!!")
    codec.send_data(0, b"")
    codec.send_end(0)
    expected = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\nhello, world!!!!\r\n0\r\n\r\n"
    assert codec.take_output() == expected


def test_trailers_follow_chunks() -> None:
    codec = asked()
    codec.send_head(0, 200, [], content_length=None)
    codec.take_output()
    codec.send_end(0, [(b"x-checksum", b"1")])
    assert codec.take_output() == b"0\r\nx-checksum: 1\r\n\r\n"


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_chunks_read_back_as_they_were(pieces: list[bytes]) -> None:
    codec = asked()
    codec.send_head(0, 200, [], content_length=None)
    codec.take_output()
    for piece in pieces:
        codec.send_data(0, piece)
    codec.send_end(0)
    reader = Http1Server()
    events = reader.receive(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + codec.take_output())
    assert b"".join(event.data for event in events if isinstance(event, RequestData)) == b"".join(pieces)
    assert not reader.buffered()


def test_http_1_0_without_length_ends_by_closing() -> None:
    codec = asked(version=b"HTTP/1.0", fields=b"Connection: keep-alive\r\n")
    codec.send_head(0, 200, [], content_length=None)
    codec.send_data(0, b"hello")
    assert not codec.wants_close
    codec.send_end(0)
    assert codec.take_output() == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello"
    assert codec.wants_close


def test_http_1_0_keeps_alive_when_asked() -> None:
    codec = asked(version=b"HTTP/1.0", fields=b"Connection: Keep-Alive\r\n")
    codec.send_complete(0, 200, [], b"ok")
    assert codec.take_output() == b"HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok"
    assert not codec.wants_close


@pytest.mark.parametrize(
    ("version", "fields"),
    [(b"HTTP/1.0", b""), (b"HTTP/1.1", b"Connection: Close\r\n"), (b"HTTP/1.1", b"Connection: x ,close\r\n")],
)
def test_connections_that_are_not_kept(version: bytes, fields: bytes) -> None:
    codec = asked(version=version, fields=fields)
    codec.send_complete(0, 200, [], b"ok")
    assert codec.take_output() == b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
    assert codec.wants_close
    assert codec.next_request() == []
    assert codec.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == []


@pytest.mark.parametrize(
    ("method", "status", "length", "framing"),
    [
        (b"HEAD", 200, 5, b"content-length: 5\r\n"),
        (b"HEAD", 200, None, b""),
        (b"GET", 204, 5, b""),
        (b"GET", 304, 5, b""),
        (b"GET", 304, None, b""),
    ],
)
def test_answers_without_a_body(method: bytes, status: int, length: int | None, framing: bytes) -> None:
    codec = asked(method)
    codec.send_head(0, status, [], content_length=length)
    codec.send_data(0, b"hello")
    codec.send_end(0)
    head, _, rest = codec.take_output().partition(b"\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert rest == framing + b"\r\n"
    assert not codec.wants_close


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 304), (b"GET", 204)])
def test_complete_answer_without_a_body(method: bytes, status: int) -> None:
    codec = asked(method)
    codec.send_complete(0, status, [], b"body")
    assert b"body" not in codec.take_output()
    assert not codec.wants_close


def test_status_without_a_phrase() -> None:
    codec = asked()
    codec.send_complete(0, 529, [], b"")
    assert codec.take_output() == b"HTTP/1.1 529 \r\ncontent-length: 0\r\n\r\n"


def test_interim_heads_come_before_the_answer() -> None:
    codec = asked()
    codec.send_head(0, 103, [(b"link", b"</a>")], content_length=None)
    codec.send_complete(0, 200, [], b"")
    assert codec.take_output() == (
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    )


def test_interim_heads_are_not_for_http_1_0() -> None:
    codec = asked(version=b"HTTP/1.0")
    codec.send_head(0, 103, [], content_length=None)
    assert codec.take_output() == b""


def test_interim_head_without_a_request_is_dropped() -> None:
    codec = Http1Server()
    codec.send_head(0, 103, [], content_length=None)
    codec.send_continue(0)
    assert codec.take_output() == b""


def test_body_beyond_its_promise_is_cut() -> None:
    codec = asked()
    codec.send_head(0, 200, [], content_length=3)
    codec.send_data(0, b"hello")
    codec.send_data(0, b"more")
    codec.send_end(0)
    assert codec.take_output().endswith(b"\r\n\r\nhel")
    assert not codec.wants_close


def test_body_short_of_its_promise_closes() -> None:
    codec = asked()
    codec.send_head(0, 200, [], content_length=3)
    codec.send_data(0, b"he")
    codec.send_end(0)
    assert codec.wants_close


def test_abort_leaves_the_truncation_visible() -> None:
    codec = asked()
    codec.send_head(0, 200, [], content_length=None)
    codec.send_data(0, b"x")
    codec.abort(0)
    codec.send_data(0, b"y")
    codec.send_end(0)
    assert codec.take_output().endswith(b"1\r\nx\r\n")
    assert codec.wants_close
    assert codec.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == []


def test_sending_before_the_head_or_after_the_end_does_nothing() -> None:
    codec = asked()
    codec.send_data(0, b"x")
    codec.send_end(0)
    assert codec.take_output() == b""
    codec.send_complete(0, 200, [], b"")
    codec.take_output()
    codec.send_data(0, b"x")
    codec.send_end(0)
    assert codec.take_output() == b""


@pytest.mark.parametrize("is_ended", [True, False])
def test_second_answer_is_a_mistake(is_ended: bool) -> None:
    codec = asked()
    codec.send_head(0, 200, [], content_length=None)
    if is_ended:
        codec.send_end(0)
    with pytest.raises(RuntimeError):
        codec.send_head(0, 500, [], content_length=0)
    with pytest.raises(RuntimeError):
        codec.send_complete(0, 500, [], b"")


@pytest.mark.parametrize("field", [(b"x", b"a\r\nset-cookie: b"), (b"x", b"a\nb"), (b"x\r", b"a"), (b"x", b"a\r")])
def test_fields_cannot_break_out_of_their_line(field: tuple[bytes, bytes]) -> None:
    codec = asked()
    with pytest.raises(ValueError, match="line break"):
        codec.send_complete(0, 200, [field], b"")
    with pytest.raises(ValueError, match="line break"):
        codec.send_head(0, 200, [field], content_length=0)
    codec.send_complete(0, 502, [], b"")
    assert codec.take_output().startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    ("fields", "body"), [(b"Content-Length: 9\r\n", b"half"), (b"Transfer-Encoding: chunked\r\n", b"5\r\nhe")]
)
def test_answer_before_the_end_of_the_request_closes(fields: bytes, body: bytes) -> None:
    codec = asked(b"POST", fields=fields, body=body)
    codec.send_complete(0, 413, [], b"")
    status_line, _, rest = codec.take_output().partition(b"\r\n")
    assert status_line.startswith(b"HTTP/1.1 413 ")
    assert rest == b"connection: close\r\ncontent-length: 0\r\n\r\n"
    assert codec.wants_close


def test_request_that_ends_during_the_answer_still_closes_as_announced() -> None:
    codec = asked(b"POST", fields=b"Content-Length: 4\r\n", body=b"ha")
    codec.send_head(0, 200, [], content_length=None)
    codec.receive(b"lf")
    codec.send_end(0)
    assert b"connection: close" in codec.take_output()
    assert codec.wants_close


def test_shutdown_lets_the_answer_finish() -> None:
    codec = asked()
    codec.shutdown()
    assert not codec.wants_close
    codec.send_complete(0, 200, [], b"ok")
    assert b"connection: close\r\n" in codec.take_output()
    assert codec.wants_close


def test_shutdown_after_the_head_leaves_the_connection_for_a_call_that_is_on_its_way() -> None:
    codec = asked()
    codec.send_head(0, 200, [], content_length=0)
    codec.shutdown()
    codec.send_end(0)
    assert not codec.wants_close
    codec.next_request()
    assert codec.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    codec.send_complete(0, 200, [], b"ok")
    assert codec.wants_close
    assert b"connection: close" in codec.take_output()


def test_shutdown_of_an_idle_connection_lets_the_next_request_come() -> None:
    codec = Http1Server()
    codec.shutdown()
    assert not codec.wants_close
    assert codec.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")


def test_leaving_closes_an_idle_connection_at_once() -> None:
    codec = Http1Server()
    codec.leave()
    assert codec.wants_close


def test_leaving_waits_for_the_answer() -> None:
    codec = asked()
    codec.send_head(0, 200, [], content_length=0)
    codec.leave()
    assert not codec.wants_close
    codec.send_end(0)
    assert codec.wants_close


def test_leaving_after_an_answer_drops_what_is_pipelined() -> None:
    codec = asked()
    codec.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    codec.send_complete(0, 200, [], b"ok")
    codec.leave()
    assert codec.wants_close
    assert codec.next_request() == []


def test_is_quiet_while_nothing_of_a_request_is_there() -> None:
    codec = Http1Server()
    assert codec.is_quiet
    codec.receive(b"GET / HTT")
    assert not codec.is_quiet
    codec.receive(b"P/1.1\r\nHost: a\r\n\r\n")
    assert not codec.is_quiet
    codec.send_complete(0, 200, [], b"ok")
    assert codec.is_quiet


def test_shutdown_lets_a_request_that_has_begun_arrive() -> None:
    codec = Http1Server()
    codec.receive(b"GET / HTT")
    codec.shutdown()
    assert not codec.wants_close
    assert codec.receive(b"P/1.1\r\nHost: a\r\n\r\n")


def test_timeout_can_be_answered_without_a_request() -> None:
    codec = Http1Server()
    codec.send_complete(0, 408, [], b"")
    assert codec.take_output() == b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    assert codec.wants_close


def test_switching_protocols_sends_raw_bytes() -> None:
    codec = asked(fields=b"Connection: upgrade\r\nUpgrade: websocket\r\n")
    codec.send_head(0, 101, [(b"upgrade", b"websocket")], content_length=None)
    codec.send_data(0, b"\x81\x00")
    assert codec.take_output() == b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n\x81\x00"
    assert not codec.wants_close
    codec.send_end(0)
    assert codec.wants_close


def test_connect_sends_raw_bytes() -> None:
    codec = Http1Server()
    codec.receive(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n")
    codec.send_head(0, 200, [], content_length=None)
    codec.send_data(0, b"tls")
    assert codec.take_output() == b"HTTP/1.1 200 OK\r\n\r\ntls"


def test_declined_upgrade_is_framed_and_closed() -> None:
    codec = asked(fields=b"Connection: upgrade\r\nUpgrade: websocket\r\n")
    codec.send_complete(0, 426, [], b"no")
    assert codec.take_output() == b"HTTP/1.1 426 Upgrade Required\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno"
    assert codec.wants_close


def test_a_prepared_answer_is_the_one_that_is_made() -> None:
    made, prepared = asked(), asked()
    made.send_complete(0, 200, JSON, b"{}")
    assert prepared.send_whole(complete_head(200, JSON, 2), b"{}")
    assert prepared.take_output() == made.take_output()
    assert prepared.next_request() == []
    assert not prepared.wants_close


@pytest.mark.parametrize(
    "codec",
    [
        asked(b"HEAD"),
        asked(version=b"HTTP/1.0"),
        asked(fields=b"Connection: close\r\n"),
        asked(b"POST", fields=b"Content-Length: 5\r\n", body=b"hel"),
        Http1Server(),
    ],
)
def test_an_answer_that_has_to_be_framed_otherwise_is_not_sent_prepared(codec: Http1Server) -> None:
    assert not codec.send_whole(complete_head(200, JSON, 2), b"{}")
    assert codec.take_output() == b""


def test_a_prepared_answer_is_not_sent_after_another_or_at_the_end() -> None:
    codec = asked()
    codec.send_complete(0, 200, JSON, b"{}")
    codec.take_output()
    assert not codec.send_whole(complete_head(200, JSON, 2), b"{}")
    ending = asked()
    ending.shutdown()
    assert not ending.send_whole(complete_head(200, JSON, 2), b"{}")


def test_a_prepared_head_never_breaks_out_of_a_line() -> None:
    with pytest.raises(ValueError, match="line break"):
        complete_head(200, [(b"x", b"a\r\nb: c")], 0)
