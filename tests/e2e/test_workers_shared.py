"""Two workers share the cache and the flights: what one pays for, the other one replays."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.demo.certificates import Certificates
from tests.conftest import MakeProxy, proxies
from tests.e2e.calls import CHAT, ask, begin, chat, events_of, read_to_end, said
from tests.support.background import Providers
from tests.support.raw_client import Answer, RawClient, post, secure
from tests.support.running import RunningProxy
from tests.support.waiting import until


@pytest.fixture
def make_pair(authority: Certificates, tmp_path: Path) -> Iterator[MakeProxy]:
    """Makes proxies of two workers."""
    with proxies(authority, tmp_path, None) as make:

        def pair(provider: Providers, **settings: object) -> RunningProxy:
            return make(provider, {"workers": 2, **settings})

        yield pair


def workers(proxy: RunningProxy) -> list[int]:
    """The processes that serve, by their place."""
    pid = proxy.runtime.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def answering(proxy: RunningProxy, calls: int) -> set[object]:
    """The workers that have answered these first calls, by the log."""
    return {event["worker"] for event in proxy.logged("call", calls)}


async def from_all(proxy: RunningProxy, call: Callable[[], Awaitable[Answer]]) -> list[Answer]:
    """Make the call until every worker has answered one: the kernel chooses whom a connection goes to."""
    answers: list[Answer] = []
    while len(answers) < 200:
        answers += await asyncio.gather(*(call() for _ in range(1 if not answers else 8)))
        if answering(proxy, len(answers)) == {0, 1}:
            return answers
    raise AssertionError("one worker gets all connections")


async def test_an_answer_that_one_worker_stored_is_replayed_by_the_other(
    make_pair: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_pair(provider)
    answers = await from_all(proxy, lambda: ask(proxy, chat(prompt)))
    assert provider.count(path=CHAT) == 1
    assert [said(answer) for answer in answers] == ["miss", *["hit"] * (len(answers) - 1)]
    assert len({answer.body for answer in answers}) == 1


async def test_identical_calls_to_both_workers_reach_the_provider_once(
    make_pair: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_pair(provider)
    provider.options = replace(provider.options, latency_s=1.0)
    answers = await asyncio.gather(*(ask(proxy, chat(prompt)) for _ in range(40)))
    assert provider.count(path=CHAT) == 1
    assert len({answer.body for answer in answers}) == 1
    rows = proxy.settled(40)
    assert answering(proxy, 40) == {0, 1}
    (paid,) = [row for row in rows if row["outcome"] == "miss"]
    assert isinstance(paid["cost_nanousd"], int)
    assert paid["cost_nanousd"] > 0
    others = [row for row in rows if row is not paid]
    assert {row["outcome"] for row in others} <= {"collapsed", "hit"}
    assert {(row["cost_nanousd"], row["saved_nanousd"]) for row in others} == {(0, paid["cost_nanousd"])}
    assert {row["output_tokens"] for row in rows} == {paid["output_tokens"]}


async def test_identical_streams_over_both_workers_are_one(
    make_pair: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_pair(provider)
    provider.options = replace(provider.options, events=40, interval_s=0.02, latency_s=0.5)
    answers = await asyncio.gather(*(ask(proxy, chat(prompt, stream=True)) for _ in range(20)))
    assert provider.count(path=CHAT) == 1
    assert len({answer.body for answer in answers}) == 1
    assert len(events_of(answers[0].body)) > 40
    assert answering(proxy, 20) == {0, 1}
    assert provider.traffic.abandoned == 0


async def test_the_cache_is_cleared_for_all_workers(make_pair: MakeProxy, provider: Providers, prompt: str) -> None:
    proxy = make_pair(provider)
    await from_all(proxy, lambda: ask(proxy, chat(prompt)))
    status, text = proxy.admin("/v1/cache/clear", "POST")
    assert (status, text) == (200, '{"cleared":1}')
    again = [await ask(proxy, chat(prompt)) for _ in range(10)]
    assert provider.count(path=CHAT) == 2
    assert [said(answer) for answer in again] == ["miss", *["hit"] * 9]


async def test_when_the_worker_that_makes_the_call_is_killed_the_others_make_it_once_more(
    make_pair: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_pair(provider)
    provider.options = replace(provider.options, latency_s=3.0)
    before = workers(proxy)
    clients = [await secure(proxy.port(), proxy.trust()) for _ in range(30)]
    for client in clients:
        client.send(post(chat(prompt), CHAT))
    await until(lambda: provider.count(path=CHAT) == 1, "the call has reached the provider")
    leader = _connected_to(provider, before)
    os.kill(leader, signal.SIGKILL)
    answers = [await _answer_of(client) for client in clients]
    completed = [answer for answer in answers if answer is not None]
    assert completed, "all connections went to one worker"
    assert len(completed) < len(answers)
    assert {answer.status for answer in completed} == {200}
    assert len({answer.body for answer in completed}) == 1
    assert provider.count(path=CHAT) <= 2
    for client in clients:
        await client.close()


async def test_a_stream_whose_leader_is_killed_is_broken_off_visibly(
    make_pair: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_pair(provider)
    provider.options = replace(provider.options, events=500, interval_s=0.02)
    before = workers(proxy)
    clients = await asyncio.gather(*(begin(proxy, chat(prompt, stream=True)) for _ in range(16)))
    assert provider.count(path=CHAT) == 1
    os.kill(_connected_to(provider, before), signal.SIGKILL)

    async def ends() -> str:
        try:
            await read_to_end(client)
        except (AssertionError, OSError):
            return "broken off"
        return "complete"

    for client in clients:
        assert await ends() == "broken off"
        client.abort()
    proxy.logged("worker_died")
    assert said(await ask(proxy, chat("another question"))) == "miss"


async def test_streams_that_workers_share_end_before_these_stop(
    make_pair: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_pair(provider)
    provider.options = replace(provider.options, events=60, interval_s=0.03)
    clients = await asyncio.gather(*(begin(proxy, chat(prompt, stream=True)) for _ in range(16)))
    assert provider.count(path=CHAT) == 1
    proxy.process.popen.send_signal(signal.SIGTERM)
    answers = await asyncio.gather(*(read_to_end(client) for client in clients))
    assert all(b"[DONE]" in answer for answer in answers)
    assert len({tuple(events_of(answer)) for answer in answers}) == 1
    for client in clients:
        client.abort()
    assert proxy.stop() == 0
    assert provider.traffic.abandoned == 0


async def _answer_of(client: RawClient) -> Answer | None:
    """None: the connection broke."""
    try:
        return await client.answer("POST")
    except (EOFError, OSError):
        return None


def _connected_to(provider: Providers, pids: list[int]) -> int:
    """The one of these processes that holds a connection to the provider."""
    port = next(iter(provider.addresses("api.openai.com").values())).rpartition(":")[2]
    sockets = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if int(line.split()[2].rpartition(":")[2], 16) == int(port)
    }
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            link = str(descriptor.readlink())
            if link.startswith("socket:[") and link[8:-1] in sockets:
                return pid
    raise AssertionError("no worker is connected to the provider")
