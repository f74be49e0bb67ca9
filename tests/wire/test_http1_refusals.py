"""Request smuggling and other breaches of HTTP/1.x: one refusal each, and nothing read after it."""

import pytest

from proxy.wire.events import BadRequest, Event, WireLimits
from proxy.wire.http1 import Http1Server
from tests.wire.feeding import body_of, bytewise, receive_all

SMALL = WireLimits(max_head_bytes=300, max_header_fields=10, max_target_bytes=100)


def post(fields: bytes, body: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n\r\n" + body


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body)


def get(line: bytes = b"GET / HTTP/1.1", fields: bytes = b"Host: a\r\n") -> bytes:
    return line + b"\r\n" + fields + b"\r\n"


REFUSED = {
    "length and chunked": (400, post(b"Content-Length: 3\r\nTransfer-Encoding: chunked", b"0\r\n\r\n")),
    "chunked and length": (400, post(b"Transfer-Encoding: chunked\r\nContent-Length: 3", b"0\r\n\r\n")),
    "two equal lengths": (400, post(b"Content-Length: 3\r\nContent-Length: 3", b"abc")),
    "two lengths": (400, post(b"Content-Length: 3\r\ncontent-length: 4", b"abc")),
    "length list": (400, post(b"Content-Length: 5, 5", b"abcde")),
    "length plus": (400, post(b"Content-Length: +5", b"abcde")),
    "length minus": (400, post(b"Content-Length: -5", b"abcde")),
    "length hex": (400, post(b"Content-Length: 0x5", b"abcde")),
    "length underscore": (400, post(b"Content-Length: 1_0", b"abcde")),
    "length empty": (400, post(b"Content-Length:", b"abcde")),
    "length huge": (400, post(b"Content-Length: " + b"9" * 19)),
    "length superscript": (400, post(b"Content-Length: \xb2")),
    "coding unknown": (501, post(b"Transfer-Encoding: gzip")),
    "coding lookalike": (501, post(b"Transfer-Encoding: xchunked")),
    "coding before chunked": (501, post(b"Transfer-Encoding: gzip, chunked")),
    "coding after chunked": (400, post(b"Transfer-Encoding: chunked, gzip")),
    "chunked twice": (400, post(b"Transfer-Encoding: chunked, chunked")),
    "chunked in two fields": (400, post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
    "chunked and identity": (400, post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity")),
    "coding empty": (400, post(b"Transfer-Encoding:")),
    "coding quoted": (400, post(b'Transfer-Encoding: "chunked"')),
    "coding with vertical tab": (400, post(b"Transfer-Encoding: \x0bchunked")),
    "coding with parameter": (400, post(b"Transfer-Encoding: chunked;q=1")),
    "coding in HTTP/1.0": (400, get(b"POST / HTTP/1.0", b"Host: a\r\nTransfer-Encoding: chunked\r\n")),
    "folded field": (400, get(fields=b"Host: a\r\nX: b\r\n c\r\n")),
    "folded first field": (400, get(fields=b" Host: a\r\n")),
    "folded with tab": (400, get(fields=b"Host: a\r\nX: b\r\n\tc\r\n")),
    "NUL in value": (400, get(fields=b"Host: a\r\nX: b\x00c\r\n")),
    "control in value": (400, get(fields=b"Host: a\r\nX: b\x01c\r\n")),
    "DEL in value": (400, get(fields=b"Host: a\r\nX: b\x7fc\r\n")),
    "bare CR in value": (400, get(fields=b"Host: a\r\nX: b\rY: c\r\n")),
    "bare LF in value": (400, get(fields=b"Host: a\r\nX: b\nY: c\r\n")),
    "bare LF everywhere": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "LF before the request": (400, b"\n" + get()),
    "CR before the request": (400, b"\r" + get()),
    "three empty lines": (400, b"\r\n\r\n\r\n" + get()),
    "space before colon": (400, get(fields=b"Host : a\r\n")),
    "tab before colon": (400, post(b"Transfer-Encoding\t: chunked")),
    "empty name": (400, get(fields=b"Host: a\r\n: b\r\n")),
    "no colon": (400, get(fields=b"Host: a\r\nnonsense\r\n")),
    "name with control": (400, get(fields=b"Host: a\r\nX\x01: b\r\n")),
    "name with high byte": (400, get(fields=b"Host: a\r\nX\xe9: b\r\n")),
    "name with slash": (400, get(fields=b"Host: a\r\nX/Y: b\r\n")),
    "missing host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two hosts": (400, get(fields=b"Host: a\r\nHost: b\r\n")),
    "two equal hosts": (400, get(fields=b"Host: a\r\nhost: a\r\n")),
    "two hosts in HTTP/1.0": (400, get(b"GET / HTTP/1.0", b"Host: a\r\nHost: b\r\n")),
    "host list": (400, get(fields=b"Host: a, b\r\n")),
    "host with userinfo": (400, get(fields=b"Host: a@b\r\n")),
    "host with path": (400, get(fields=b"Host: a/b\r\n")),
    "host with long port": (400, get(fields=b"Host: a:123456\r\n")),
    "method empty": (400, get(b" / HTTP/1.1")),
    "method with control": (400, get(b"G\x01T / HTTP/1.1")),
    "method with colon": (400, get(b"GE:T / HTTP/1.1")),
    "no target": (400, get(b"GET HTTP/1.1")),
    "empty target": (400, get(b"GET  HTTP/1.1")),
    "empty CONNECT target": (400, get(b"CONNECT  HTTP/1.1")),
    "two spaces": (400, get(b"GET  / HTTP/1.1")),
    "trailing space": (400, get(b"GET / HTTP/1.1 ")),
    "tab for space": (400, get(b"GET\t/\tHTTP/1.1")),
    "target with control": (400, get(b"GET /\x01 HTTP/1.1")),
    "target with NUL": (400, get(b"GET /\x00 HTTP/1.1")),
    "target with high byte": (400, get(b"GET /\xe9 HTTP/1.1")),
    "target with fragment": (400, get(b"GET /a#b HTTP/1.1")),
    "relative target": (400, get(b"GET a/b HTTP/1.1")),
    "star for GET": (400, get(b"GET * HTTP/1.1")),
    "authority for GET": (400, get(b"GET a:443 HTTP/1.1")),
    "path for CONNECT": (400, get(b"CONNECT /a HTTP/1.1")),
    "userinfo in CONNECT": (400, get(b"CONNECT u@a:1 HTTP/1.1")),
    "userinfo in target": (400, get(b"GET http://u@a/ HTTP/1.1")),
    "backslash in authority": (400, get(b"GET http://a\\b/ HTTP/1.1")),
    "no authority in target": (400, get(b"GET http:///x HTTP/1.1")),
    "CONNECT with a length": (400, get(b"CONNECT a:1 HTTP/1.1", b"Host: a\r\nContent-Length: 1\r\n")),
    "CONNECT with chunks": (400, get(b"CONNECT a:1 HTTP/1.1", b"Host: a\r\nTransfer-Encoding: chunked\r\n")),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\n"),
    "HTTP/1.2": (505, get(b"GET / HTTP/1.2")),
    "lower-case version": (400, get(b"GET / http/1.1")),
    "nonsense version": (400, get(b"GET / HTTP/1.1x")),
    "TLS to a plain port": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "unknown expectation": (417, post(b"Expect: 200-ok\r\nContent-Length: 0")),
    "long target": (414, get(b"GET /" + b"a" * 100 + b" HTTP/1.1")),
    "target larger than a head": (414, get(b"GET /" + b"a" * 400 + b" HTTP/1.1")),
    "large head": (431, get(fields=b"Host: a\r\nX: " + b"b" * 300 + b"\r\n")),
    "many fields": (431, get(fields=b"Host: a\r\n" + b"X: b\r\n" * 10)),
    "chunk size empty": (400, chunked(b"\r\nhello\r\n")),
    "chunk size with sign": (400, chunked(b"+5\r\nhello\r\n")),
    "chunk size with prefix": (400, chunked(b"0x5\r\nhello\r\n")),
    "chunk size with space": (400, chunked(b"5 \r\nhello\r\n")),
    "chunk size not hex": (400, chunked(b"5g\r\nhello\r\n")),
    "chunk size with LF": (400, chunked(b"5\nhello\r\n")),
    "chunk size huge": (400, chunked(b"1" + b"0" * 15 + b"\r\nx")),
    "chunk line endless": (400, chunked(b"5;" + b"x" * 300)),
    "chunk line long": (400, chunked(b"5;" + b"x" * 300 + b"\r\nhello\r\n")),
    "chunk extension with control": (400, chunked(b"5;a\x00\r\nhello\r\n")),
    "chunk extension with CR": (400, chunked(b"5;a\rb\r\nhello\r\n")),
    "chunk extensions without end": (400, chunked((b"1;" + b"x" * 250 + b"\r\ny\r\n") * 300)),
    "chunk longer than its size": (400, chunked(b"5\r\nhello!\r\n")),
    "chunk end with LF": (400, chunked(b"5\r\nhello\n0\r\n\r\n")),
    "chunk end with CR": (400, chunked(b"5\r\nhello\r0\r\n\r\n")),
    "trailer with length": (400, chunked(b"0\r\nContent-Length: 5\r\n\r\n")),
    "trailer with host": (400, chunked(b"0\r\nX: y\r\nHost: b\r\n\r\n")),
    "trailer malformed": (400, chunked(b"0\r\nX : y\r\n\r\n")),
    "trailer with LF": (400, chunked(b"0\r\nX: y\n\n")),
    "trailer too large": (431, chunked(b"0\r\nX: " + b"y" * 400)),
    "too many trailers": (431, chunked(b"0\r\n" + b"x: y\r\n" * 11 + b"\r\n")),
}


def refusal(events: list[Event]) -> BadRequest:
    (bad,) = [event for event in events if isinstance(event, BadRequest)]
    assert events[-1] is bad
    return bad


@pytest.mark.parametrize("name", REFUSED)
def test_refused_when_it_comes_whole(name: str) -> None:
    status, raw = REFUSED[name]
    codec = Http1Server(SMALL)
    assert refusal(codec.receive(raw)).status == status
    assert codec.receive(get()) == []
    assert codec.buffered() == 0


@pytest.mark.parametrize("name", REFUSED)
def test_refused_byte_by_byte(name: str) -> None:
    status, raw = REFUSED[name]
    whole = receive_all(Http1Server(SMALL), [raw])
    single = receive_all(Http1Server(SMALL), bytewise(raw))
    assert refusal(single).status == status
    assert body_of(single) == body_of(whole)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_another_request(name: str) -> None:
    status, raw = REFUSED[name]
    assert refusal(Http1Server(SMALL).receive(raw + get())).status == status


def test_refused_request_behind_a_good_one() -> None:
    codec = Http1Server()
    codec.receive(get() + get(fields=b"Host : a\r\n"))
    codec.send_complete(0, 200, [], b"")
    assert refusal(codec.next_request()).status == 400


def test_refusal_is_answered_and_then_closed() -> None:
    codec = Http1Server()
    bad = refusal(codec.receive(b"GET / HTTP/1.1\r\n\r\n"))
    assert not codec.wants_close
    codec.send_complete(0, bad.status, [], bad.reason.encode())
    assert codec.take_output() == (
        b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 12\r\n\r\nmissing host"
    )
    assert codec.wants_close
    assert codec.receive_eof() == []


def test_a_head_of_exactly_the_limit_is_taken() -> None:
    raw = get(fields=b"Host: a\r\nX: ")[:-2]
    filler = b"b" * (SMALL.max_head_bytes - len(raw))
    for pieces in ([raw + filler + b"\r\n\r\n"], bytewise(raw + filler + b"\r\n\r\n")):
        events = receive_all(Http1Server(SMALL), pieces)
        assert not any(isinstance(event, BadRequest) for event in events)
        assert events


def test_control_bytes_are_refused_before_the_head_ends() -> None:
    codec = Http1Server()
    assert refusal(codec.receive(b"\x16\x03\x01")).reason == "control character in the head"
