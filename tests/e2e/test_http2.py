"""HTTP/2 towards clients that offer nothing else."""

import asyncio
import ssl
from dataclasses import replace

from proxy.demo.asks import Answer as Reply
from proxy.demo.faults import Options
from tests.conftest import MakeProvider, MakeProxy
from tests.e2e.calls import CHAT, ask, chat
from tests.support.background import Providers
from tests.support.h2_client import H2Client
from tests.support.raw_client import secure
from tests.support.running import RunningProxy
from tests.support.waiting import until

CANCEL = 8


def h2_trust(proxy: RunningProxy) -> ssl.SSLContext:
    """A context that offers HTTP/2 alone."""
    trust = proxy.trust()
    trust.set_alpn_protocols(["h2"])
    return trust


async def h2(proxy: RunningProxy, *, window: int = 65_535, acknowledges: bool = True) -> H2Client:
    """A client on a connection of its own, for `async with`."""
    raw = await secure(proxy.port(), h2_trust(proxy))
    assert raw.tls.selected_alpn_protocol() == "h2"
    return H2Client(raw, window=window, acknowledges=acknowledges)


async def test_a_client_that_offers_both_gets_http1(proxy: RunningProxy) -> None:
    trust = proxy.trust()
    trust.set_alpn_protocols(["h2", "http/1.1"])
    async with await secure(proxy.port(), trust) as client:
        assert client.tls.selected_alpn_protocol() == "http/1.1"


async def test_a_call_and_its_repetition(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    async with await h2(proxy) as client:
        first = await client.finish(await client.post(CHAT, chat(prompt)))
        second = await client.finish(await client.post(CHAT, chat(prompt)))
    assert (first.status, second.header("x-skinflint-cache")) == (200, "hit")
    assert first.body == second.body


async def test_both_versions_share_answers(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    stored = await ask(proxy, chat(prompt))
    async with await h2(proxy) as client:
        stream = await client.finish(await client.post(CHAT, chat(prompt)))
    assert stream.header("x-skinflint-cache") == "hit"
    assert stream.body == stored.body


async def test_a_hundred_streams_on_one_connection(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    provider.options = replace(provider.options, latency_s=0.2, interval_s=0.005)
    async with await h2(proxy) as client:
        streams = [await client.post(CHAT, chat(f"{prompt} {number}", stream=True)) for number in range(100)]
        for stream in streams:
            await client.finish(stream)
    assert {stream.status for stream in streams} == {200}
    assert all(stream.ended and stream.body.endswith(b"data: [DONE]\n\n") for stream in streams)
    assert provider.count(path=CHAT) == 100


async def test_a_large_answer_goes_at_the_readers_pace(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    pieces = [bytes([number % 251]) * 65_536 for number in range(80)]
    provider.script(lambda _call: Reply(pieces, 200, [(b"content-type", b"application/octet-stream")], streamed=True))
    async with await h2(proxy, acknowledges=False) as client:
        stream = await client.post("/v1/files", prompt.encode())
        while not stream.ended:
            before = len(stream.body)
            await client.wait(lambda before=before: len(stream.body) > before or stream.ended)
            client.acknowledge(stream)
    assert stream.body == b"".join(pieces)


async def test_a_slow_reader_holds_back_the_origin_and_no_other_stream(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    pieces = [bytes(65_536)] * 300
    provider.script(lambda call: Reply(pieces, 200, [], streamed=True) if call.path == "/v1/files" else None)
    async with await h2(proxy, acknowledges=False) as client:
        slow = await client.post("/v1/files", prompt.encode())
        await client.wait(lambda: len(slow.body) == 65_535)
        client.h2.increment_flow_control_window(1_000_000)
        client.send()
        other = await client.finish(await client.post(CHAT, chat(prompt)))
        assert other.status == 200
        assert len(slow.body) == 65_535
        assert provider.traffic.completed == 1
        client.cancel(slow)
        await until(lambda: provider.traffic.abandoned == 1, "the slow stream was given up")


async def test_a_reset_by_the_client_cancels_upstream_and_nothing_else(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=30, interval_s=0.03)
    async with await h2(proxy) as client:
        given_up = await client.post(CHAT, chat(f"{prompt} 1", stream=True))
        kept = await client.post(CHAT, chat(f"{prompt} 2", stream=True))
        await client.wait(lambda: bool(given_up.body and kept.body))
        client.cancel(given_up)
        await client.finish(kept)
    assert kept.body.endswith(b"data: [DONE]\n\n")
    assert provider.traffic.abandoned == 1


async def test_a_break_upstream_resets_the_stream(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    provider.options = replace(provider.options, interval_s=0.01)
    async with await h2(proxy) as client:
        broken = await client.post(CHAT, chat(prompt, stream=True), ("x-sim-faults", '{"cut_after": 3}'))
        await client.finish(broken)
        assert (broken.ended, broken.reset) == (False, 2)  # INTERNAL_ERROR
        healthy = await client.finish(await client.post(CHAT, chat(prompt)))
        assert healthy.status == 200


async def test_a_large_request_body_arrives_whole(proxy: RunningProxy, provider: Providers) -> None:
    body = bytes(range(256)) * 4096 * 12
    async with await h2(proxy) as client:
        stream = client.open("POST", "/v1/files", [("authorization", "Bearer sk")], host="api.openai.com", end=False)
        await client.write(stream, body, end=True)
        await client.finish(stream)
    assert stream.status == 200
    (call,) = provider.calls
    assert call.body == body


async def test_a_cookie_in_pieces_is_one(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    async with await h2(proxy) as client:
        await client.finish(await client.post(CHAT, chat(prompt), ("cookie", "a=1"), ("cookie", "b=2")))
    (call,) = provider.calls
    assert b"; ".join(value for name, value in call.headers if name == b"cookie") == b"a=1; b=2"


async def test_streams_beyond_the_limit_are_refused(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    provider = make_provider(Options(events=4, latency_s=0.3))
    proxy = make_proxy(provider, {"limits": {"max_concurrent_streams": 5}})
    async with await h2(proxy) as client:
        await client.finish(client.open("GET", "/v1/models", [], host="api.openai.com", end=True))
        assert client.settings[3] == 5  # said once it is known that the connection stays here
        streams = [await client.post(CHAT, chat(f"{prompt} {number}")) for number in range(5)]
        await asyncio.gather(*(client.finish(stream) for stream in streams))
    assert {stream.status for stream in streams} == {200}


async def test_garbage_ends_the_connection_with_a_goaway(proxy: RunningProxy, provider: Providers) -> None:
    async with await h2(proxy) as client:
        await client.finish(client.open("GET", "/v1/models", [], host="api.openai.com", end=True))
        client._raw.send(b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00")  # WINDOW_UPDATE by nothing
        await client.wait(lambda: client.goaway is not None and client.is_over)
    assert client.goaway == 1  # PROTOCOL_ERROR
