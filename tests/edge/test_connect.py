"""The first bytes on a listener that is an HTTP proxy."""

import time

import pytest

from proxy.edge.connect import Connect, ConnectReader, NeedMore, Other, Refused
from proxy.wire.events import WireLimits

HEAD = b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\nProxy-Connection: keep-alive\r\n\r\n"
LIMITS = WireLimits()


def read_connect(seen: bytes, limits: WireLimits) -> NeedMore | Other | Refused | Connect:
    """What these bytes ask for, when they come in one piece."""
    return ConnectReader(limits).receive(seen)


def test_a_tunnel_is_asked_for() -> None:
    assert read_connect(HEAD, LIMITS) == Connect("api.openai.com", 443, b"")


def test_what_comes_with_the_head_is_not_lost() -> None:
    assert read_connect(HEAD + b"\x16\x03\x01hello", LIMITS) == Connect("api.openai.com", 443, b"\x16\x03\x01hello")


def test_every_shorter_piece_needs_more() -> None:
    for length in range(len(HEAD)):
        assert read_connect(HEAD[:length], LIMITS) == NeedMore(), length


def test_a_long_head_that_comes_byte_by_byte_costs_little() -> None:
    head = b"CONNECT host:443 HTTP/1.1\r\nHost: host\r\nz: " + b"a" * 30_000 + b"\r\n\r\n"
    reader = ConnectReader(LIMITS)
    before = time.process_time()
    pieces = [reader.receive(head[at : at + 1]) for at in range(len(head))]
    assert pieces[:-1] == [NeedMore()] * (len(head) - 1)
    assert pieces[-1] == Connect("host", 443, b"")
    assert time.process_time() - before < 2  # read anew for each byte, it takes more than ten times as long


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        (b"EXAMPLE.com:1", "example.com", 1),
        (b"[::1]:443", "::1", 443),
        (b"10.0.0.1:22", "10.0.0.1", 22),
        (b"host", "host", 443),
    ],
)
def test_the_target_is_host_and_port(target: bytes, host: str, port: int) -> None:
    head = b"CONNECT " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    assert read_connect(head, LIMITS) == Connect(host, port, b"")


@pytest.mark.parametrize(
    "head",
    [
        b"CONNECT :443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT host:99999 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT host:0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT user@host:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT host:443 HTTP/1.1\r\n\r\n",
        b"CONNECT host:443 HTTP/1.1\r\nHost: x\r\ncontent-length: 5\r\n\r\nhello",
        b"CONNECT host:443 HTTP/9.9\r\nHost: x\r\n\r\n",
        b"CONNECT host:443 HTTP/1.1\r\nHost x\r\n\r\n",
        b"CONNECT host:443 HTTP/1.1\nHost: x\n\n",
    ],
)
def test_a_malformed_one_is_refused_with_an_answer(head: bytes) -> None:
    decision = read_connect(head, LIMITS)
    assert isinstance(decision, Refused)
    assert decision.answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 505 "))
    assert b"connection: close\r\n" in decision.answer.lower()


def test_a_head_that_never_ends_is_refused() -> None:
    decision = read_connect(b"CONNECT host:443 HTTP/1.1\r\nHost: x\r\nx: " + b"y" * 70_000, LIMITS)
    assert isinstance(decision, Refused)
    assert decision.answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "seen", [b"GET http://x/ HTTP/1.1\r\n", b"POST /", b"CONNECTED x", b"connect h:1", b"\x16\x03\x01", b"CONT", b"X"]
)
def test_anything_else_is_for_somebody_else(seen: bytes) -> None:
    assert read_connect(seen, LIMITS) == Other()
