"""Connections towards providers: few, shared, opened in time, and their ends invisible to clients."""

import asyncio
from dataclasses import replace

import orjson
import pytest

from proxy.demo.faults import Faults, Options
from tests.conftest import MakeProvider, MakeProxy
from tests.e2e.calls import CHAT, EMBEDDINGS, ask, begin, chat, get, read_to_end, said
from tests.support.background import Providers
from tests.support.raw_client import connect, post, secure
from tests.support.running import RunningProxy
from tests.support.waiting import until

REVERSE = "reverse:https://api.openai.com"


NO_CACHE = ("cache-control", "no-store")


async def test_two_hundred_clients_share_a_handful_of_connections(
    make_proxy: MakeProxy, make_provider: MakeProvider
) -> None:
    provider = make_provider()
    listeners = [{"address": "127.0.0.1:0", "mode": REVERSE}]
    proxy = make_proxy(provider, {"listeners": listeners, "log": {"level": "warning"}})
    embed = post(orjson.dumps({"model": "text-embedding-3-small", "input": "x", "dimensions": 4}), EMBEDDINGS, NO_CACHE)

    async def client() -> int:
        good = 0
        async with await connect(proxy.port(REVERSE)) as connection:
            for _ in range(50):
                connection.send(embed)
                good += (await connection.answer()).status == 200
        return good

    answered = await asyncio.gather(*(client() for _ in range(200)))
    assert sum(answered) == 10_000
    assert provider.count(path=EMBEDDINGS) == 10_000
    assert provider.connections_opened <= 5
    open_now = proxy.metric("skinflint_upstream_connections", origin="api.openai.com:443")
    assert open_now == provider.traffic.open["2"]


async def test_a_second_connection_is_opened_before_the_first_is_full(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    provider = make_provider(Options(max_streams=100, latency_s=0.0, events=4))
    proxy = make_proxy(provider)
    await get(proxy, "/v1/models")  # the origin is known, and its first connection open
    provider.options = replace(provider.options, latency_s=5.0)
    answers = await asyncio.gather(*(ask(proxy, chat(f"{prompt} {number}")) for number in range(150)))
    assert {answer.status for answer in answers} == {200}
    assert 2 <= provider.traffic.opened["2"] <= 2 + 1  # and one that only asked how many streams are allowed
    assert provider.traffic.most_streams == 150  # nobody waited for another's end


async def test_a_burst_at_the_start_opens_few_connections(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    provider = make_provider(Options(latency_s=0.2, events=4))
    proxy = make_proxy(provider)
    answers = await asyncio.gather(*(ask(proxy, chat(f"{prompt} {number}")) for number in range(60)))
    assert {answer.status for answer in answers} == {200}
    assert provider.connections_opened <= 3


async def test_an_origin_that_allows_few_streams_gets_more_connections(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    provider = make_provider(Options(latency_s=0.3, events=4, max_streams=10))
    proxy = make_proxy(provider)
    answers = await asyncio.gather(*(ask(proxy, chat(f"{prompt} {number}")) for number in range(40)))
    assert {answer.status for answer in answers} == {200}
    assert 4 <= provider.connections_opened <= 7


async def test_an_http1_origin_is_spoken_to_in_http1(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    provider = make_provider(Options(http2=False, events=8))
    proxy = make_proxy(provider)
    for number in range(20):
        assert (await ask(proxy, chat(f"{prompt} {number}"))).status == 200
    stream = await ask(proxy, chat(prompt, stream=True))
    assert stream.body.endswith(b"data: [DONE]\n\n")
    assert dict(provider.traffic.opened) == {"1.1": 2}  # one only showed what the origin speaks


async def test_http1_connections_are_counted_as_they_are(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    provider = make_provider(Options(http2=False, events=4, latency_s=0.3))
    proxy = make_proxy(provider)
    await asyncio.gather(*(ask(proxy, chat(f"{prompt} {number}")) for number in range(8)))
    counted = proxy.metric("skinflint_upstream_connections", origin="api.openai.com:443", protocol="HTTP/1.1")
    assert counted == provider.traffic.open["1.1"]


@pytest.mark.parametrize("http2", [True, False])
async def test_an_idle_close_is_invisible(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str, http2: bool
) -> None:
    provider = make_provider(Options(http2=http2, events=4))
    proxy = make_proxy(provider)
    for number in range(5):
        assert (await ask(proxy, chat(f"{prompt} {number}"))).status == 200
        provider.hang_up()  # while nothing is under way
    assert provider.count(path=CHAT) == 5


@pytest.mark.parametrize("options", [Options(requests_per_connection=3), Options(goodbye_after=3)])
@pytest.mark.parametrize("http2", [True, False])
async def test_a_connection_that_ends_after_some_calls_is_invisible(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str, options: Options, http2: bool
) -> None:
    provider = make_provider(replace(options, http2=http2, events=4))
    proxy = make_proxy(provider)
    for number in range(20):
        assert (await ask(proxy, chat(f"{prompt} {number}"))).status == 200


@pytest.mark.parametrize("fault", [Faults(goaway=True, times=1), Faults(failure="refuse", times=1)])
async def test_what_was_surely_not_done_is_repeated(
    proxy: RunningProxy, provider: Providers, prompt: str, fault: Faults
) -> None:
    provider.faults.append(fault)
    assert (await ask(proxy, chat(prompt))).status == 200
    assert provider.count(path=CHAT) == 2


@pytest.mark.parametrize("fault", [Faults(failure="reset", times=1), Faults(failure="close", times=1)])
async def test_a_break_before_the_first_byte_is_repeated_for_chat(
    proxy: RunningProxy, provider: Providers, prompt: str, fault: Faults
) -> None:
    provider.faults.append(fault)
    assert (await ask(proxy, chat(prompt))).status == 200
    assert provider.count(path=CHAT) == 2


@pytest.mark.parametrize("fault", [Faults(failure="reset", times=1), Faults(failure="close", times=1)])
async def test_a_break_before_the_first_byte_is_not_repeated_for_files(
    proxy: RunningProxy, provider: Providers, prompt: str, fault: Faults
) -> None:
    provider.faults.append(fault)
    answer = await ask(proxy, prompt.encode(), path="/v1/files")
    assert (answer.status, answer.header("proxy-status")) == (502, "skinflint; error=connection_terminated")
    assert provider.count(path="/v1/files") == 1


@pytest.mark.parametrize("fault", [Faults(goaway=True, times=1), Faults(failure="refuse", times=1)])
async def test_what_was_surely_not_done_is_repeated_for_files_too(
    proxy: RunningProxy, provider: Providers, prompt: str, fault: Faults
) -> None:
    provider.faults.append(fault)
    assert (await ask(proxy, prompt.encode(), path="/v1/files")).status == 200
    assert provider.count(path="/v1/files") == 2


@pytest.mark.parametrize("http2", [True, False])
async def test_an_answer_that_is_no_http_is_a_502_and_not_repeated(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str, http2: bool
) -> None:
    provider = make_provider(Options(http2=http2))
    proxy = make_proxy(provider)
    provider.faults.append(Faults(failure="garbage"))
    answer = await ask(proxy, chat(prompt))
    assert (answer.status, answer.header("proxy-status")) == (502, "skinflint; error=http_protocol_error")
    assert provider.count(path=CHAT) == 1


async def test_a_break_after_the_first_byte_is_not_repeated(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, interval_s=0.01)
    provider.faults.append(Faults(cut_after=3, times=1))
    client = await begin(proxy, chat(prompt, stream=True))
    with pytest.raises((AssertionError, ConnectionError)):
        await read_to_end(client)
    client.abort()
    assert provider.count(path=CHAT) == 1


async def test_retries_stay_within_their_budget(make_proxy: MakeProxy, provider: Providers, prompt: str) -> None:
    proxy = make_proxy(provider)
    provider.faults.append(Faults(failure="reset"))
    answers = await asyncio.gather(*(ask(proxy, chat(f"{prompt} {number}")) for number in range(40)))
    assert {answer.status for answer in answers} == {502}
    assert 40 < provider.count(path=CHAT) <= 40 + 3 + 8 + 1  # three for free, and a fifth of the calls


async def test_a_cancelled_calls_connection_is_used_again(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    provider = make_provider(Options(events=200, interval_s=0.02))
    proxy = make_proxy(provider)
    for number in range(5):
        client = await begin(proxy, chat(f"{prompt} {number}", stream=True))
        client.abort()
        await until(lambda number=number: provider.traffic.abandoned == number + 1, "the stream was reset")  # type: ignore[misc]
    provider.options = Options(events=4)
    assert (await ask(proxy, chat(prompt))).status == 200
    assert provider.connections_opened <= 2


async def test_calls_beyond_all_connections_wait_and_then_are_answered(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    provider = make_provider(Options(latency_s=0.3, events=4))
    proxy = make_proxy(provider, {"upstream": {"streams_per_connection": 2, "max_connections": 2}})
    await get(proxy, "/v1/models")
    answers = await asyncio.gather(*(ask(proxy, chat(f"{prompt} {number}")) for number in range(12)))
    assert {answer.status for answer in answers} == {200}
    assert provider.traffic.most_streams <= 4


async def test_many_calls_on_one_client_connection_use_one_upstream_connection(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    provider = make_provider(Options(events=4))
    proxy = make_proxy(provider)
    async with await secure(proxy.port(), proxy.trust()) as client:
        for number in range(50):
            client.send(post(chat(f"{prompt} {number}")))
            assert said(await client.answer()) == "miss"
    assert provider.connections_opened == 1
