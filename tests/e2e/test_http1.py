"""HTTP/1.x towards clients: bodies of every kind, pipelining, keep-alive, and clients that close their sending half."""

import hashlib
import itertools
import time
from dataclasses import replace

import pytest

from proxy.demo.asks import Answer as Reply
from tests.conftest import MakeProxy
from tests.e2e.calls import CHAT, ask, chat, get, reply, said
from tests.support.background import Providers
from tests.support.raw_client import connect, post, request, secure
from tests.support.running import RunningProxy

MIB = 1024 * 1024


async def test_a_body_of_twenty_megabytes_arrives_whole(proxy: RunningProxy, provider: Providers) -> None:
    body = hashlib.shake_256(b"large").digest(20 * MIB)
    answer = await ask(proxy, body, path="/v1/files")
    assert answer.status == 200
    (call,) = provider.calls
    assert hashlib.sha256(call.body).digest() == hashlib.sha256(body).digest()


async def test_a_large_chunked_body_arrives_whole(proxy: RunningProxy, provider: Providers) -> None:
    piece = hashlib.shake_256(b"piece").digest(MIB)
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(request("POST", "/v1/files", b"", [("transfer-encoding", "chunked")]))
        for _ in range(12):
            client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            await client.flush()
        client.send(b"0\r\n\r\n")
        assert (await client.answer()).status == 200
    (call,) = provider.calls
    assert call.body == piece * 12


async def test_a_multipart_form_arrives_as_it_was_sent(proxy: RunningProxy, provider: Providers) -> None:
    form = (
        b'--sep\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
        b'--sep\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n'
        b"Content-Type: audio/mpeg\r\n\r\n" + hashlib.shake_256(b"sound").digest(200_000) + b"\r\n--sep--\r\n"
    )
    async with await secure(proxy.port(), proxy.trust()) as client:
        kind = ("content-type", "multipart/form-data; boundary=sep")
        client.send(request("POST", "/v1/audio/transcriptions", form, [kind]))
        assert "text" in (await client.answer()).json()
    (call,) = provider.calls
    assert call.body == form
    assert (b"content-type", b"multipart/form-data; boundary=sep") in call.headers


async def test_a_chunked_request_with_trailers_is_answered(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    body = chat(prompt)
    async with await secure(proxy.port(), proxy.trust()) as client:
        fields = [("transfer-encoding", "chunked"), ("trailer", "x-checksum"), ("content-type", "application/json")]
        client.send(request("POST", CHAT, b"", fields))
        for at in range(0, len(body), 10):
            client.send(b"%x;note=1\r\n%s\r\n" % (len(body[at : at + 10]), body[at : at + 10]))
        client.send(b"0\r\nx-checksum: abc\r\n\r\n")
        assert (await client.answer()).status == 200
        client.send(post(chat(prompt)))
        assert said(await client.answer()) == "hit"
    (call,) = provider.calls
    assert call.body == body


async def test_expect_100_continue_is_answered_before_the_body(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    body = chat(prompt)
    fields = [("expect", "100-continue"), ("content-length", str(len(body))), ("content-type", "application/json")]
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(request("POST", CHAT, None, fields))
        assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        client.send(body)
        assert (await client.answer()).status == 200
    assert provider.count(path=CHAT) == 1


async def test_head_has_no_body(proxy: RunningProxy, provider: Providers) -> None:
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(request("HEAD", "/v1/models") + request("GET", "/v1/models"))
        head = await client.answer("HEAD")
        assert (head.status, head.body) == (200, b"")
        assert (await client.answer()).body


async def test_pipelined_requests_are_answered_in_order(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    known = chat(f"{prompt} known")
    stored = await ask(proxy, known)
    provider.options = replace(provider.options, latency_s=0.1)
    async with await secure(proxy.port(), proxy.trust()) as client:
        asked = [post(known) if number % 2 else post(chat(f"{prompt} {number}")) for number in range(10)]
        client.send(b"".join(asked))
        answers = [await client.answer() for _ in range(10)]
    assert [said(answer) for answer in answers] == ["miss", "hit"] * 5
    assert all(answer.body == stored.body for answer in answers[1::2])
    assert len({answer.body for answer in answers[::2]}) == 5


async def test_five_hundred_requests_on_one_connection(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    async with await secure(proxy.port(), proxy.trust()) as client:
        for number in range(500):
            client.send(post(chat(f"{prompt} {number % 50}")))
            assert (await client.answer()).status == 200
    assert provider.count(path=CHAT) == 50


async def test_five_hundred_pipelined_hits_do_not_nest(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    await ask(proxy, chat(prompt))
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(post(chat(prompt)) * 500)
        for _ in range(500):
            assert said(await client.answer()) == "hit"


async def test_a_half_close_after_the_request_still_gets_the_answer(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, latency_s=0.3)
    mode = "reverse:https://api.openai.com"
    proxy = make_proxy(provider, {"listeners": [{"address": "127.0.0.1:0", "mode": mode}]})
    async with await connect(proxy.port(mode)) as client:
        client.send(post(chat(prompt)))
        client.send_fin()
        assert (await client.answer()).status == 200
        assert await client.read_all() == b""


async def test_a_close_notify_after_the_request_still_gets_the_answer(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, latency_s=0.3)
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(post(chat(prompt)))
        client.send_close_notify()
        assert (await client.answer()).status == 200
        assert await client.read_all() == b""


async def test_a_stream_reaches_a_client_event_by_event(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    provider.options = replace(provider.options, events=10, interval_s=0.1)
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(post(chat(prompt, stream=True)))
        answer = await client.head()
        arrivals = [time.monotonic() async for _ in client.body(answer)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    assert len(arrivals) >= 10
    assert max(gaps) < 0.5
    assert arrivals[-1] - arrivals[0] > 0.8


async def test_an_http_1_0_client_is_answered_and_closed(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    for body in (chat(prompt), chat(prompt, stream=True)):
        async with await secure(proxy.port(), proxy.trust()) as client:
            client.send(post(body).replace(b"HTTP/1.1", b"HTTP/1.0"))
            answer = await client.head()
            assert answer.status == 200
            assert answer.header("transfer-encoding") == ""
            assert await client.read_all()


async def test_a_client_may_ask_to_close(proxy: RunningProxy, provider: Providers) -> None:
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(request("GET", "/v1/models", None, [("connection", "close")]))
        answer = await client.answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert await client.read_all() == b""


async def test_a_request_that_comes_byte_by_byte_is_one(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    async with await secure(proxy.port(), proxy.trust()) as client:
        await client.send_slowly(post(chat(prompt)))
        assert (await client.answer()).status == 200
    assert provider.count(path=CHAT) == 1


async def test_hop_by_hop_fields_stay_here(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    own = [
        ("connection", "keep-alive, x-mine"),
        ("x-mine", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic c2VjcmV0"),
        ("x-kept", "yes"),
    ]
    assert (await ask(proxy, chat(prompt), *own)).status == 200
    (call,) = provider.calls
    names = {name for name, _ in call.headers}
    assert b"x-kept" in names
    assert not names & {b"connection", b"x-mine", b"keep-alive", b"te", b"proxy-authorization"}


async def test_unknown_fields_and_repeated_ones_survive(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    fields = [(b"x-b", b"1"), (b"x-a", b"2"), (b"x-b", b"3")]
    provider.script(lambda _call: reply(b"{}", 200, b"application/json", *fields))
    sent = [("OpenAI-Beta", "assistants=v2"), ("x-list", "a"), ("x-list", "b")]
    answer = await ask(proxy, chat(prompt), *sent)
    (call,) = provider.calls
    assert [value for name, value in call.headers if name == b"x-list"] == [b"a", b"b"]
    assert (b"openai-beta", b"assistants=v2") in call.headers
    assert [value for name, value in answer.headers if name == "x-b"] == ["1", "3"]
    assert answer.header("x-a") == "2"


async def test_a_field_in_utf8_arrives_as_it_was_sent(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    title = "café 東京".encode()
    assert (await ask(proxy, chat(prompt), ("x-title", title.decode("latin-1")))).status == 200
    (call,) = provider.calls
    assert (b"x-title", title) in call.headers


async def test_an_answers_field_that_is_not_ascii_costs_only_itself(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    fields = [(b"x-place", "東京".encode()), (b"x-old", b"caf\xe9"), (b"x-fine", b"yes")]
    provider.script(lambda _call: reply(b"{}", 200, b"application/json", *fields))
    answer = await ask(proxy, chat(prompt))
    assert (answer.status, answer.header("x-fine"), answer.body) == (200, "yes", b"{}")


async def test_the_target_is_left_as_it_is(proxy: RunningProxy, provider: Providers) -> None:
    target = "/v1/models/a%2Fb%20c?x=%41&y=a+b&&z"
    await get(proxy, target)
    assert provider.targets == [target]


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_have_none(proxy: RunningProxy, provider: Providers, status: int) -> None:
    provider.script(lambda _call: Reply([], status, []))
    async with await secure(proxy.port(), proxy.trust()) as client:
        for _ in range(2):
            client.send(request("GET", "/v1/models", key=f"sk-{status}"))
            assert (await client.answer()).status == status


async def test_redirects_are_the_clients_business(proxy: RunningProxy, provider: Providers) -> None:
    provider.script(lambda _call: Reply([b""], 307, [(b"location", b"https://api.openai.com/v1/other")]))
    answer = await get(proxy, "/v1/models", key="sk-redirect")
    assert (answer.status, answer.header("location")) == (307, "https://api.openai.com/v1/other")
    assert provider.targets == ["/v1/models"]
