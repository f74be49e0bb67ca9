"""Requests are what their work asks for, and go where they should."""

import json

import pytest

from proxy.load.calls import Calls, Work
from proxy.load.destination import BUILT_IN, CHAT_PATH, Origin, origin_from, proxy_address


def parts(request: bytes) -> tuple[list[str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), body


def calls(work: Work, origin: Origin = BUILT_IN, *, body: bytes | None = None, absolute: bool = False) -> Calls:
    return Calls(origin, work, body=body, fields=(), absolute=absolute)


def test_hits_repeat_themselves_and_forwards_never() -> None:
    hits, forwards = calls(Work.HITS), calls(Work.FORWARDS)
    assert hits.make(1) == hits.make(2)
    assert forwards.make(1) != forwards.make(2)


@pytest.mark.parametrize("work", Work)
def test_the_body_is_json_of_the_declared_length(work: Work) -> None:
    lines, body = parts(calls(work).make(7))
    assert f"Content-Length: {len(body)}" in lines
    asked = json.loads(body)
    assert (asked["temperature"], asked.get("stream", False)) == (0, work is Work.STREAMS)


def test_a_body_of_ones_own_gets_the_number_where_calls_must_differ() -> None:
    body = b'{"input": "number {n}"}'
    assert parts(calls(Work.FORWARDS, body=body).make(12))[1] == b'{"input": "number 0000000012"}'
    assert parts(calls(Work.HITS, body=body).make(12))[1] == b'{"input": "number 0000000000"}'


def test_a_key_of_ones_own_replaces_the_made_up_one() -> None:
    made = Calls(BUILT_IN, Work.HITS, body=None, fields=(("authorization", "Bearer mine"),), absolute=False).make(0)
    assert made.lower().count(b"authorization:") == 1
    assert b"Bearer mine" in made


@pytest.mark.parametrize(
    ("url", "host", "target", "absolute_target"),
    [
        ("https://a.test", "a.test", CHAT_PATH, f"https://a.test:443{CHAT_PATH}"),
        ("https://a.test:8443/x?y=1", "a.test:8443", "/x?y=1", "https://a.test:8443/x?y=1"),
        ("http://[::1]:80/x", "[::1]", "/x", "http://[::1]:80/x"),
    ],
)
def test_request_line_and_host_follow_the_target(url: str, host: str, target: str, absolute_target: str) -> None:
    origin = origin_from(url)
    lines, _ = parts(calls(Work.HITS, origin).make(0))
    assert lines[:2] == [f"POST {target} HTTP/1.1", f"Host: {host}"]
    assert parts(calls(Work.HITS, origin, absolute=True).make(0))[0][0] == f"POST {absolute_target} HTTP/1.1"


@pytest.mark.parametrize(
    ("url", "is_ours"),
    [
        ("https://127.0.0.1:9/x", True),
        ("http://localhost", True),
        ("https://[::1]:1", True),
        ("https://api.openai.com", False),
        ("http://10.0.0.1", False),
        ("https://localhost.example.com", False),
        ("https://127.0.0.1.example.com", False),
    ],
)
def test_only_this_machine_is_ours(url: str, is_ours: bool) -> None:
    assert origin_from(url).is_ours is is_ours


@pytest.mark.parametrize("url", ["", "api.openai.com", "ftp://a", "https://", "https://user:secret@a"])
def test_a_target_must_be_a_url(url: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        origin_from(url)


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "https://127.0.0.1:8080", "http://127.0.0.1", "http://a:1/path"])
def test_a_proxy_must_be_a_url_with_a_port(url: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        proxy_address(url)
