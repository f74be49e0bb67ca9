"""Requests that HTTP/1.x allows: what the codec says about them, however they arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.events import BadRequest, Likeness, RequestData, RequestEnd, RequestHead, WireLimits
from proxy.wire.http1 import Http1Server
from tests.wire.feeding import body_of, bytewise, cut, head_of, is_complete, receive_all

POST = (
    b"POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: api.example.com:8443\r\nAuthorization: Bearer abc\r\n"
    b"X-Empty:\r\nX-Spaced:  \t two words \t\r\nX-Latin: caf\xe9\r\nContent-Length: 5\r\n\r\nhello"
)
GET = b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n"
CHUNKED = (
    b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b"5;name=value\r\nhello\r\n00A\r\n, world!!!\r\n0\r\nX-Checksum: abc\r\nx-two:\r\n\r\n"
)
CHUNKED_PLAIN = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
VALID = [POST, GET, CHUNKED, CHUNKED_PLAIN, b"\r\n\r\n" + GET]


def expected_post() -> list[object]:
    headers = [
        (b"host", b"api.example.com:8443"),
        (b"authorization", b"Bearer abc"),
        (b"x-empty", b""),
        (b"x-spaced", b"two words"),
        (b"x-latin", b"caf\xe9"),
        (b"content-length", b"5"),
    ]
    target = b"/v1/chat/completions?x=1"
    head = RequestHead(0, b"POST", target, b"api.example.com:8443", headers, "1.1", 5, has_body=True)
    return [head, RequestData(0, b"hello"), RequestEnd(0)]


def test_whole_request_gives_head_body_and_end() -> None:
    assert Http1Server().receive(POST) == expected_post()


def test_byte_by_byte_gives_the_same_events() -> None:
    assert receive_all(Http1Server(), bytewise(POST)) == expected_post()


@pytest.mark.parametrize("raw", VALID)
@pytest.mark.parametrize("trailing", [b"", b"GET /next HTTP/1.1\r\nHost: b\r\n\r\n", b"\x00garbage"])
def test_trailing_bytes_wait_and_change_nothing(raw: bytes, trailing: bytes) -> None:
    expected = receive_all(Http1Server(), [raw])
    codec = Http1Server()
    assert receive_all(codec, [raw + trailing]) == expected
    assert codec.buffered() == len(trailing)
    assert codec.receive(b"more") == []
    assert codec.buffered() == len(trailing) + 4


@given(raw=st.sampled_from(VALID), positions=st.lists(st.integers(min_value=0, max_value=400), max_size=8))
def test_any_split_gives_the_same_events(raw: bytes, positions: list[int]) -> None:
    assert receive_all(Http1Server(), cut(raw, positions)) == receive_all(Http1Server(), [raw])


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_random_bytes_never_raise(pieces: list[bytes]) -> None:
    codec = Http1Server(WireLimits(max_head_bytes=100))
    for piece in pieces:
        codec.receive(piece)
    codec.receive_eof()


@given(st.binary(max_size=200), st.lists(st.integers(min_value=0, max_value=200), max_size=4))
def test_random_chunks_never_raise(tail: bytes, positions: list[int]) -> None:
    codec = Http1Server()
    codec.receive(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for piece in cut(tail, positions):
        codec.receive(piece)
    codec.receive_eof()


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.lists(st.integers(0, 500), max_size=6))
def test_chunked_bodies_round_trip(chunks: list[bytes], positions: list[int]) -> None:
    raw = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw += b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    events = receive_all(Http1Server(), cut(raw, positions))
    assert is_complete(events)
    assert body_of(events) == b"".join(chunks)


def test_chunked_body_has_no_length_and_keeps_trailers() -> None:
    events = receive_all(Http1Server(), [CHUNKED])
    head = head_of(events)
    assert (head.content_length, head.has_body) == (None, True)
    assert events[1:] == [
        RequestData(0, b"hello, world!!!"),
        RequestEnd(0, [(b"x-checksum", b"abc"), (b"x-two", b"")]),
    ]


def test_get_has_no_body_and_no_length() -> None:
    head = head_of(Http1Server().receive(GET))
    assert (head.content_length, head.has_body) == (None, False)


def test_length_zero_is_no_body() -> None:
    events = Http1Server().receive(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert (head_of(events).content_length, head_of(events).has_body, is_complete(events)) == (0, False, True)


@pytest.mark.parametrize("raw", [b"PUT", b"DELETE", b"HEAD", b"PATCH", b"PURGE-all!"])
def test_any_method_token_is_taken(raw: bytes) -> None:
    assert head_of(Http1Server().receive(raw + b" / HTTP/1.1\r\nHost: a\r\n\r\n")).method == raw


@pytest.mark.parametrize(
    ("request_line", "authority"),
    [
        (b"GET /path HTTP/1.1", b"ignored.example"),
        (b"OPTIONS * HTTP/1.1", b"ignored.example"),
        (b"GET http://other.example:81/x?y HTTP/1.1", b"other.example:81"),
        (b"GET https://[2001:db8::1]/ HTTP/1.1", b"[2001:db8::1]"),
        (b"GET http://other.example HTTP/1.1", b"other.example"),
        (b"CONNECT other.example:443 HTTP/1.1", b"other.example:443"),
    ],
)
def test_the_target_wins_over_the_host_field(request_line: bytes, authority: bytes) -> None:
    head = head_of(Http1Server().receive(request_line + b"\r\nHost: ignored.example\r\n\r\n"))
    assert head.authority == authority
    assert head.target == request_line.split(b" ")[1]


def test_http_1_0_needs_no_host() -> None:
    head = head_of(Http1Server().receive(b"GET / HTTP/1.0\r\n\r\n"))
    assert (head.http_version, head.authority, head.headers) == ("1.0", b"", [])


def test_repeated_fields_are_kept_in_order() -> None:
    head = head_of(Http1Server().receive(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nB: 2\r\nx-a: 3\r\nx-a: 4\r\n\r\n"))
    assert head.headers[1:] == [(b"x-a", b"1"), (b"b", b"2"), (b"x-a", b"3"), (b"x-a", b"4")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [(b"HTTP/1.1\r\nHost: a", True), (b"HTTP/1.0", False)],
)
def test_expect_continue_is_flagged_on_http_1_1(line: bytes, expected: bool) -> None:
    raw = b"POST / " + line + b"\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n"
    assert head_of(Http1Server().receive(raw)).expect_continue is expected


@pytest.mark.parametrize(
    ("raw", "is_upgrade"),
    [
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nConnection: x\r\nUpgrade: websocket\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", False),
        (b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\nx", False),
    ],
)
def test_upgrade_offers_worth_following_are_flagged(raw: bytes, is_upgrade: bool) -> None:
    assert head_of(Http1Server().receive(raw)).upgrade is is_upgrade


@pytest.mark.parametrize("step", [1, 1000])
def test_bytes_after_connect_are_handed_out_unparsed(step: int) -> None:
    codec = Http1Server()
    raw = b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n\x16\x03\x01"
    events = receive_all(codec, [raw[i : i + step] for i in range(0, len(raw), step)])
    assert is_complete(events)
    assert codec.take_unparsed() == b"\x16\x03\x01"
    assert codec.receive(b"GET / HTTP/1.1\r\n\r\n") == []
    assert codec.take_unparsed() == b"GET / HTTP/1.1\r\n\r\n"
    assert codec.take_unparsed() == b""
    assert codec.receive_eof() == []


def test_an_ordinary_request_has_nothing_unparsed() -> None:
    codec = Http1Server()
    codec.receive(GET + b"GET")
    assert codec.take_unparsed() == b""


def answer(codec: Http1Server) -> None:
    codec.send_complete(0, 200, [], b"ok")


def test_pipelined_requests_come_one_by_one() -> None:
    codec = Http1Server()
    assert body_of(codec.receive(POST + CHUNKED + GET[:-1])) == b"hello"
    assert codec.next_request() == []
    answer(codec)
    assert body_of(codec.next_request()) == b"hello, world!!!"
    answer(codec)
    assert codec.next_request() == []
    assert head_of(codec.receive(GET[-1:])).target == b"/v1/models"


def test_many_requests_use_one_connection() -> None:
    codec = Http1Server()
    for number in range(100):
        raw = b"POST / HTTP/1.1\r\nHost: a\r\nX-Id: %d\r\nX-Long: %b\r\nContent-Length: 2\r\n\r\nok"
        head = head_of(codec.receive(raw % (number, b"v" * 3000)))
        assert head.headers[1] == (b"x-id", b"%d" % number)
        answer(codec)
        assert codec.next_request() == []


def test_fields_that_never_come_again_change_nothing() -> None:
    codec = Http1Server()
    for number in range(20):
        fields = [(b"x-%d" % each, b"%d" % number) for each in range(8)]
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        head = head_of(codec.receive(b"GET / HTTP/1.1\r\nhost: a\r\n" + lines + b"\r\n"))
        assert head.headers[1:] == fields
        answer(codec)
        assert codec.next_request() == []


@pytest.mark.parametrize(
    "raw", [POST[:10], POST[:-1], CHUNKED[:-1], CHUNKED[:-30], POST.split(b"hello", maxsplit=1)[0]]
)
def test_end_of_input_inside_a_request_is_bad(raw: bytes) -> None:
    codec = Http1Server()
    codec.receive(raw)
    (event,) = codec.receive_eof()
    assert isinstance(event, BadRequest)
    assert event.status == 400
    assert codec.buffered() == 0


def test_end_of_input_between_requests_closes() -> None:
    codec = Http1Server()
    assert codec.receive_eof() == []
    assert codec.wants_close


def test_half_closed_client_still_gets_its_answers() -> None:
    codec = Http1Server()
    codec.receive(GET + GET + GET[:8])
    assert codec.receive_eof() == []
    answer(codec)
    assert not codec.wants_close
    assert head_of(codec.next_request()).method == b"GET"
    answer(codec)
    (event,) = codec.next_request()
    assert isinstance(event, BadRequest)
    answer(codec)
    assert codec.wants_close


def test_half_closed_client_is_closed_after_its_last_answer() -> None:
    codec = Http1Server()
    codec.receive(GET)
    codec.receive_eof()
    assert not codec.wants_close
    answer(codec)
    assert codec.wants_close
    assert codec.next_request() == []


def test_empty_receive_is_nothing() -> None:
    codec = Http1Server()
    assert codec.receive(b"") == []
    assert not codec.wants_close


def test_body_after_continue_arrives() -> None:
    codec = Http1Server()
    events = codec.receive(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert len(events) == 1
    codec.send_continue(0)
    assert codec.take_output() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert body_of(codec.receive(b"hel") + codec.receive(b"lo")) == b"hello"
    codec.send_continue(0)
    assert codec.take_output() == b""


def test_chunked_head_alone_is_no_end() -> None:
    events = Http1Server().receive(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert len(events) == 1


def test_flow_control_does_nothing() -> None:
    codec = Http1Server()
    codec.acknowledge(0, 10)
    assert (codec.unsent(0), codec.take_output()) == (0, b"")


@given(
    raws=st.lists(
        st.sampled_from([*VALID, GET.replace(b"GET", b"HEAD"), POST.replace(b"hello", b"again")]), max_size=6
    ),
    positions=st.lists(st.integers(min_value=0, max_value=400), max_size=4),
)
def test_a_request_says_the_same_whatever_came_before_it(raws: list[bytes], positions: list[int]) -> None:
    codec = Http1Server()
    for raw in raws:
        assert receive_all(codec, cut(raw, positions)) == receive_all(Http1Server(), [raw])
        codec.send_complete(0, 200, [], b"")
        assert codec.next_request() == []


def test_a_head_that_only_begins_like_the_last_one_is_read_anew() -> None:
    codec = Http1Server()
    for raw in (POST, POST.replace(b"\r\n\r\n", b"\r\nX-More: 1\r\n\r\n"), POST.replace(b"5\r\n\r\nh", b"6\r\n\r\nhh")):
        assert receive_all(codec, [raw]) == receive_all(Http1Server(), [raw])
        codec.send_complete(0, 200, [], b"")
        codec.next_request()


@pytest.mark.parametrize(("size", "is_kept"), [(10, True), (5_000, False)])
def test_a_repeated_head_is_the_same_object_up_to_a_size(size: int, is_kept: bool) -> None:
    codec = Http1Server()
    heads = []
    for _ in range(2):
        heads += codec.receive(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * size + b"\r\n\r\n")[:1]
        codec.send_complete(0, 200, [], b"")
        codec.next_request()
    assert heads[0] == heads[1]
    assert (heads[0] is heads[1]) is is_kept


# -- heads that are like an earlier one


ALIKE_FIELDS = st.sampled_from(
    [
        b"host: a", b"host: b", b"x-label: one", b"x-label: two", b"X-Label: three", b"x-trace: 1", b"x-trace:2 ",
        b"x-other: 1", b"x-other : 1", b"x-label: \x00", b"expect: 100-continue", b"expect: 200-ok",
        b"connection: close", b"connection: keep-alive", b"connection: upgrade", b"upgrade: websocket", b"upgrade: h2c",
        b"content-length: 2", b"content-length: 02", b"content-length: 3", b"transfer-encoding: chunked",
        b"transfer-encoding: gzip", b" folded", b"",
    ]
)  # fmt: skip
ALIKE_LINES = st.sampled_from([b"POST /a HTTP/1.1", b"POST /a HTTP/1.1", b"POST /b HTTP/1.1", b"GET /a HTTP/1.0"])


@st.composite
def alike_heads(draw: st.DrawFn) -> list[bytes]:
    """Heads that differ from each other in a line or two."""
    lines = [draw(ALIKE_LINES), b"host: a", *draw(st.lists(ALIKE_FIELDS, max_size=6))]
    heads = []
    for _ in range(draw(st.integers(2, 6))):
        lines = list(lines)
        for _ in range(draw(st.integers(0, 2))):
            place = draw(st.integers(0, len(lines) - 1))
            lines[place] = draw(ALIKE_FIELDS if place else ALIKE_LINES)
        heads.append(b"\r\n".join(lines) + b"\r\n\r\n")
    return heads


@given(heads=alike_heads(), is_pipelined=st.booleans())
def test_a_head_says_the_same_whatever_came_before_it(heads: list[bytes], is_pipelined: bool) -> None:
    messages = [head + b"ab" for head in heads]
    codec = Http1Server()
    for number, message in enumerate(messages):
        rest = b"".join(messages[number + 1 :]) if is_pipelined else b""
        alone = Http1Server()
        expected = alone.receive(message + rest)
        if number and is_pipelined:
            events = codec.next_request()
        else:
            events = [*codec.next_request(), *codec.receive(message + rest)]
        assert events == expected
        if not is_complete(events) or head_of(events).upgrade or alone.buffered() != len(rest):
            return  # the rest would be read as something else than a request
        for each in (codec, alone):
            each.send_complete(0, 200, [], b"")
        assert codec.take_output() == alone.take_output()
        if codec.wants_close:
            return


def asked(label: bytes, trace: bytes = b"1", more: bytes = b"") -> bytes:
    return b"GET /v1 HTTP/1.1\r\nhost: a\r\nx-label: %b\r\nx-trace: %b\r\n%b\r\n" % (label, trace, more)


def heads_of(*requests: bytes) -> list[RequestHead]:
    """Of requests that come one after another on a connection."""
    codec, heads = Http1Server(), []
    for request in requests:
        heads.append(head_of(codec.receive(request)))
        codec.send_complete(0, 200, [], b"")
        codec.next_request()
    return heads


def test_a_head_with_other_values_knows_which_head_it_is_like() -> None:
    first, second, third, again = heads_of(asked(b"1"), asked(b"2"), asked(b"3", b"3"), asked(b"1"))
    assert first.like is None
    assert second.like == Likeness(first, [(b"x-label", b"2")])
    assert third.like == Likeness(first, [(b"x-label", b"3"), (b"x-trace", b"3")])
    assert again is first


def test_a_connection_keeps_one_head_that_others_are_like() -> None:
    """And not one for each of them."""
    heads = heads_of(*[asked(b"%d" % number) for number in range(50)])
    assert all(head.like is not None and head.like.head is heads[0] for head in heads[1:])


@pytest.mark.parametrize(
    "other",
    [
        asked(b"1", more=b"x-more: 1\r\n"),
        asked(b"2").replace(b"x-label", b"x-name"),
        asked(b"2").replace(b"/v1", b"/v2"),
        asked(b"2").replace(b"host: a", b"host: b"),
    ],
)
def test_a_head_that_differs_in_more_is_like_none(other: bytes) -> None:
    first, second = heads_of(asked(b"1"), other)
    assert first.like is second.like is None


def test_a_head_with_a_field_twice_has_none_that_is_like_it() -> None:
    twice = b"x-label: 0\r\n"
    _, second = heads_of(asked(b"1", more=twice), asked(b"2", more=twice))
    assert second.like is None


@pytest.mark.parametrize("other", [b"X-label: 2", b"x-label : 2", b"x-label", b"x-label: \x00", b"x-label:2\r\n 3"])
def test_a_line_that_is_written_in_another_way_is_parsed(other: bytes) -> None:
    codec = Http1Server()
    codec.receive(asked(b"1"))
    codec.send_complete(0, 200, [], b"")
    codec.next_request()
    message = asked(b"2").replace(b"x-label: 2", other)
    events = codec.receive(message)
    assert events == Http1Server().receive(message)
    assert all(event.like is None for event in events if isinstance(event, RequestHead))


def test_a_field_that_has_varied_may_be_as_it_was_first() -> None:
    first, _, third = heads_of(asked(b"1"), asked(b"2"), asked(b"1", b"2"))
    assert third.like == Likeness(first, [(b"x-trace", b"2")])


def test_many_differences_are_not_looked_for_one_by_one() -> None:
    many = [b"".join(b"x-%d: %d\r\n" % (number, value) for number in range(5)) for value in range(2)]
    _, second = heads_of(asked(b"1", more=many[0]), asked(b"1", more=many[1]))
    assert second.like is None
