"""Requests that two readers could understand differently are refused, and no byte of them goes upstream."""

import pytest

from tests.e2e.calls import chat
from tests.support.background import Providers
from tests.support.h2_client import H2Client
from tests.support.raw_client import connect, post, secure, tunnel
from tests.support.running import RunningProxy

START = b"POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\nauthorization: Bearer sk-test\r\n"
CHUNKED = START + b"transfer-encoding: chunked\r\n\r\n"
GET = b"GET /v1/models HTTP/1.1\r\nhost: api.openai.com\r\n"
HIDDEN = b"GET /v1/hidden HTTP/1.1\r\nhost: api.openai.com\r\n\r\n"

CASES = {
    "content-length and chunked": START + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked and content-length": START + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n" + HIDDEN,
    "two lengths": START + b"content-length: 3\r\ncontent-length: 30\r\n\r\nabc" + HIDDEN,
    "the same length twice": START + b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc" + HIDDEN,
    "a list of lengths": START + b"content-length: 3, 3\r\n\r\nabc" + HIDDEN,
    "a signed length": START + b"content-length: +3\r\n\r\nabc" + HIDDEN,
    "a negative length": START + b"content-length: -3\r\n\r\nabc" + HIDDEN,
    "a hexadecimal length": START + b"content-length: 0x3\r\n\r\nabc" + HIDDEN,
    "a length with an underscore": START + b"content-length: 1_0\r\n\r\nabcdefghij" + HIDDEN,
    "an empty length": START + b"content-length: \r\n\r\n" + HIDDEN,
    "chunked twice": START + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked, then identity": START + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a control character before chunked": START + b"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a space before the colon": START + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a folded field": START + b"x-folded: a\r\n b\r\n\r\n" + HIDDEN,
    "a field that begins with a space": START + b" transfer-encoding: chunked\r\n\r\n" + HIDDEN,
    "a null in a value": START + b"x-null: a\0b\r\n\r\n",
    "a null in a name": START + b"x-\0null: a\r\n\r\n",
    "a carriage return in a value": START + b"x-cr: a\rtransfer-encoding: chunked\r\n\r\n",
    "lines that end in a line feed": START.replace(b"\r\n", b"\n") + b"\n" + HIDDEN,
    "one line that ends in a line feed": START + b"x-a: b\ntransfer-encoding: chunked\r\n\r\n",
    "a field without a colon": START + b"nothing\r\n\r\n",
    "a field without a name": START + b": value\r\n\r\n",
    "a chunk size that is no number": CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n",
    "a signed chunk size": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "a prefixed chunk size": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk size with a space before it": CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n",
    "an enormous chunk size": CHUNKED + b"f" * 20 + b"\r\nabc\r\n0\r\n\r\n",
    "a chunk that is longer than its size": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "a chunk that ends in a line feed": CHUNKED + b"3\nabc\n0\n\n",
    "a chunk extension with a line feed": CHUNKED + b"3;a\nabc\r\n0\r\n\r\n",
    "a framing field as trailer": CHUNKED + b"0\r\ncontent-length: 30\r\n\r\n" + HIDDEN,
    "a malformed trailer": CHUNKED + b"0\r\nbad trailer\r\n\r\n",
    "no host": b"GET /v1/models HTTP/1.1\r\nauthorization: Bearer sk-test\r\n\r\n",
    "two hosts": GET + b"host: api.openai.com\r\n\r\n",
    "a host with a space": b"GET /v1/models HTTP/1.1\r\nhost: api.openai.com evil\r\n\r\n",
    "a space in the target": b"GET /v1/models HTTP/1.1 HTTP/1.1\r\nhost: api.openai.com\r\n\r\n",
    "a tab in the request line": b"GET\t/v1/models\tHTTP/1.1\r\nhost: api.openai.com\r\n\r\n",
    "two spaces in the request line": b"GET  /v1/models HTTP/1.1\r\nhost: api.openai.com\r\n\r\n",
    "a line break in the target": b"GET /v1/mo\rdels HTTP/1.1\r\nhost: api.openai.com\r\n\r\n",
    "a fragment in the target": b"GET /v1/models\x00 HTTP/1.1\r\nhost: api.openai.com\r\n\r\n",
    "a method that is no token": b"GE(T /v1/models HTTP/1.1\r\nhost: api.openai.com\r\n\r\n",
    "a version that is none": b"GET /v1/models HTTP/x\r\nhost: api.openai.com\r\n\r\n",
    "chunked in HTTP/1.0": START.replace(b"1.1", b"1.0") + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "an authority as target": b"GET api.openai.com:443 HTTP/1.1\r\nhost: api.openai.com\r\n\r\n",
    "a CONNECT with a body": b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\ncontent-length: 3\r\n\r\nabc",
}
TOO_LARGE = {
    "an oversized head": (GET + b"x-large: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    "too many fields": (GET + b"".join(b"x-%d: a\r\n" % number for number in range(2_000)) + b"\r\n", 431),
    "an oversized target": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: api.openai.com\r\n\r\n", 414),
    "a head without an end": (GET + b"x: " + b"a" * 200_000, 431),
    "a version to come": (b"GET /v1/models HTTP/3.0\r\nhost: api.openai.com\r\n\r\n", 505),
    "an unknown transfer coding": (START + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
}


async def refused(proxy: RunningProxy, sent: bytes) -> int:
    """The status of the only answer, after which the connection is closed."""
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(sent)
        answer = await client.answer()
        assert await client.read_all() == b""
        assert answer.header("connection") == "close"
        return answer.status


@pytest.mark.parametrize("name", CASES)
async def test_an_ambiguous_request_is_a_400(proxy: RunningProxy, provider: Providers, name: str) -> None:
    assert await refused(proxy, CASES[name]) == 400
    assert provider.targets == []


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_what_cannot_be_served_says_so(proxy: RunningProxy, provider: Providers, name: str) -> None:
    sent, status = TOO_LARGE[name]
    assert await refused(proxy, sent) == status
    assert provider.targets == []


async def test_what_follows_a_refused_request_is_never_read(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    good = post(chat(prompt))
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(good + CASES["two lengths"] + good)
        first, second = await client.answer(), await client.answer()
        assert (first.status, second.status) == (200, 400)
        assert await client.read_all() == b""
    assert provider.targets == ["/v1/chat/completions"]


@pytest.mark.parametrize("host", ["evil.example", "api.anthropic.com", "api.openai.com.evil.example", "127.0.0.1"])
async def test_a_host_that_is_not_the_connections_is_a_421(proxy: RunningProxy, provider: Providers, host: str) -> None:
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(f"GET /v1/models HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        assert (await client.answer()).status == 421
        client.send(f"GET https://{host}/v1/models HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        assert (await client.answer()).status == 421
    assert provider.targets == []


@pytest.mark.parametrize("host", ["api.openai.com", "API.OpenAI.com", "api.openai.com:443", "api.openai.com."])
async def test_other_spellings_of_the_host_are_the_same(proxy: RunningProxy, provider: Providers, host: str) -> None:
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(f"GET /v1/models HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {host}\r\n\r\n".encode())
        assert (await client.answer()).status == 200


async def test_an_http2_authority_that_is_not_the_connections_is_a_421(
    proxy: RunningProxy, provider: Providers
) -> None:
    trust = proxy.trust()
    trust.set_alpn_protocols(["h2"])
    async with H2Client(await secure(proxy.port(), trust)) as client:
        stream = client.open("GET", "/v1/models", [], host="evil.example", end=True)
        assert (await client.finish(stream)).status == 421
    assert provider.targets == []


@pytest.mark.parametrize(
    "line",
    [
        b"CONNECT \r\n\r\n",
        b"CONNECT /path HTTP/1.1\r\nhost: a\r\n\r\n",
        b"CONNECT a:99999 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"CONNECT a:0 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"CONNECT a b:443 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"CONNECT http://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\n bad: b\r\n\r\n",
        b"CONNECT [::1:443 HTTP/1.1\r\nhost: a\r\n\r\n",
    ],
)
async def test_a_malformed_connect_is_a_400(proxy: RunningProxy, line: bytes) -> None:
    async with await connect(proxy.port()) as client:
        client.send(line)
        assert (await client.answer()).status == 400
        assert await client.read_all() == b""


async def test_bytes_that_are_no_tls_in_a_providers_tunnel_reach_nobody_as_http(
    proxy: RunningProxy, provider: Providers
) -> None:
    async with await tunnel(proxy.port(), "api.openai.com:443") as client:
        client.send(CASES["two lengths"])
        answer = await client.answer()
        assert answer.status == 400
    assert provider.targets == []
