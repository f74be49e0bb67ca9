"""Clients that leave, idle or are too many: what becomes of their calls and of their connections."""

from dataclasses import replace

from proxy.demo.faults import Options
from tests.conftest import MakeProvider, MakeProxy
from tests.e2e.calls import CHAT, ask, chat, said
from tests.support.background import Providers
from tests.support.raw_client import connect, post, request, secure
from tests.support.running import RunningProxy
from tests.support.waiting import until


async def test_a_client_that_breaks_off_its_large_body_cancels_the_call(
    proxy: RunningProxy, provider: Providers
) -> None:
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(request("POST", "/v1/files", None, [("content-length", str(20_000_000))]) + bytes(10_000_000))
        await until(lambda: provider.traffic.active_streams == 1, "the call has begun")
        client.abort()
        await until(lambda: provider.traffic.active_streams == 0, "the call is over")
    assert provider.count() == 0


async def test_a_disconnect_before_the_head_cancels_a_stream_when_the_head_comes(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_proxy(provider)
    provider.options = replace(provider.options, latency_s=0.5, events=500, interval_s=0.02)
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(post(chat(prompt, stream=True)))
        await until(lambda: provider.count(path=CHAT) == 1, "the provider was asked")
        client.abort()
        await until(lambda: provider.traffic.abandoned == 1, "the call was cancelled")
    (row,) = proxy.settled(1)
    assert (row["error"], row["estimated"]) == ("client_disconnected", 1)
    assert row["input_tokens"] == len(chat(prompt, stream=True)) // 4


async def test_a_disconnect_before_an_answer_pays_for_it_and_keeps_it(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_proxy(provider)
    provider.options = replace(provider.options, latency_s=2.0)
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(post(chat(prompt)))
        await until(lambda: provider.count(path=CHAT) == 1, "the provider was asked")
        client.abort()
    (row,) = proxy.settled(1)
    assert (row["error"], row["estimated"]) == ("client_disconnected", 0)
    assert row["cost_nanousd"]
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(post(chat(prompt)))
        assert said(await client.answer()) == "hit"
    assert provider.count(path=CHAT) == 1


async def test_drain_reads_on_for_the_cache_when_the_client_leaves(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    provider = make_provider(Options(events=20, interval_s=0.03))
    proxy = make_proxy(provider, {"on_disconnect": "drain"})
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(post(chat(prompt, stream=True)))
        await client.head()
        client.abort()
    (row,) = proxy.settled(1)
    assert (row["error"], row["estimated"]) == ("client_disconnected", 0)
    assert said(await ask(proxy, chat(prompt, stream=True))) == "hit"


async def test_an_idle_client_is_closed_after_its_time(make_proxy: MakeProxy, provider: Providers) -> None:
    proxy = make_proxy(provider, {"limits": {"client_idle_s": 0.2, "client_head_s": 0.2}})
    async with (
        await secure(proxy.port(), proxy.trust()) as idle,
        await secure(proxy.port(), proxy.trust()) as slow,
    ):
        idle.send(request("GET", "/v1/models"))
        assert (await idle.answer()).status == 200
        slow.send(b"GET /v1/mod")
        assert await idle.read_all() == b""
        assert await slow.read_all() == b""


async def test_a_client_beyond_the_limit_is_closed_at_once(make_proxy: MakeProxy, provider: Providers) -> None:
    proxy = make_proxy(provider, {"limits": {"max_connections": 2}})
    first, second = await secure(proxy.port(), proxy.trust()), await secure(proxy.port(), proxy.trust())
    async with first, second:
        async with await connect(proxy.port()) as third:
            assert await third.read_all() == b""
        first.abort()
        await until(lambda: proxy.metric("skinflint_client_connections_open") == 1, "there is room again")
        async with await secure(proxy.port(), proxy.trust()) as fourth:
            fourth.send(request("GET", "/v1/models"))
            assert (await fourth.answer()).status == 200
