"""Identical calls to several replicas, as real processes on a real Redis: one of them pays."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import MakeProxy
from tests.e2e.calls import CHAT, ask, begin, chat, events_of, read_to_end
from tests.support.background import Providers
from tests.support.raw_client import RawClient, post, secure
from tests.support.redis_servers import RedisServer, needs_redis, redis_cluster, watched_servers
from tests.support.running import RunningProxy
from tests.support.waiting import until

pytestmark = needs_redis()

LEASE_S = 3.0


def joined(url: str, **collapse: object) -> Mapping[str, object]:
    """Settings of a replica at this Redis. Its deadlines are longer than the defaults: the machine may be busy."""
    redis = {"url": url, "read_timeout_s": 0.5, "write_timeout_s": 1.0}
    return {"cache": {"redis": redis, "disk": {"max_bytes": 0}}, "collapse": {"lease_s": LEASE_S, **collapse}}


@pytest.fixture
def replicas(redis: RedisServer, make_proxy: MakeProxy, provider: Providers) -> list[RunningProxy]:
    """Three, of one fleet."""
    return [make_proxy(provider, joined(redis.url)) for _ in range(3)]


async def streams(replicas: list[RunningProxy], prompt: str, count: int = 1) -> list[RawClient]:
    """Streams whose heads have come, so many of each replica."""
    body = chat(prompt, stream=True)
    return await asyncio.gather(*(begin(replica, body) for replica in replicas for _ in range(count)))


async def led_by_the_first(
    replicas: list[RunningProxy], prompt: str, count: int = 2
) -> tuple[RawClient, list[RawClient]]:
    """A stream of the first replica, which makes the call, and so many of each other one, which follow it."""
    (first,) = await streams(replicas[:1], prompt)
    return first, await streams(replicas[1:], prompt, count)


async def ends(client: RawClient) -> str:
    """How a stream ends."""
    try:
        text = await read_to_end(client)
    except (AssertionError, OSError):
        return "broken off"
    finally:
        client.abort()
    return "complete" if b"[DONE]" in text else "cut short"


def leader_of(provider: Providers, replicas: list[RunningProxy]) -> RunningProxy:
    """The one that holds a connection to the provider."""
    port = next(iter(provider.addresses("api.openai.com").values())).rpartition(":")[2]
    sockets = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if int(line.split()[2].rpartition(":")[2], 16) == int(port)
    }
    for replica in replicas:
        for descriptor in Path(f"/proc/{replica.runtime.pid}/fd").iterdir():
            link = str(descriptor.readlink())
            if link.startswith("socket:[") and link[8:-1] in sockets:
                return replica
    raise AssertionError("no replica is connected to the provider")


def killed(replica: RunningProxy) -> None:
    os.kill(replica.runtime.pid, signal.SIGKILL)


async def test_sixty_identical_streams_at_three_replicas_go_upstream_once(
    replicas: list[RunningProxy], provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=40, interval_s=0.02, latency_s=0.5)
    body = chat(prompt, stream=True)
    answers = await asyncio.gather(*(ask(replica, body) for replica in replicas for _ in range(20)))
    assert provider.count(path=CHAT) == 1
    assert len({answer.body for answer in answers}) == 1
    assert len(events_of(answers[0].body)) > 40
    rows = [row for replica in replicas for row in replica.settled(20)]
    (paid,) = [row for row in rows if row["outcome"] == "miss"]
    assert isinstance(paid["cost_nanousd"], int)
    assert paid["cost_nanousd"] > 0
    others = [row for row in rows if row is not paid]
    assert {row["outcome"] for row in others} == {"collapsed"}
    assert {(row["cost_nanousd"], row["saved_nanousd"]) for row in others} == {(0, paid["cost_nanousd"])}
    assert {row["output_tokens"] for row in rows} == {paid["output_tokens"]}
    assert provider.traffic.abandoned == 0
    assert sum(replica.metric("skinflint_fleet_joined_total") for replica in replicas) == 2
    assert sum(replica.metric("skinflint_fleet_flights") for replica in replicas) == 0
    assert replicas[0].stats()["fleet_flights"] == {"led": 0, "replayed": 0, "following": 0}


async def test_answers_in_one_piece_are_shared_too(
    replicas: list[RunningProxy], provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, latency_s=1.0)
    answers = await asyncio.gather(*(ask(replica, chat(prompt)) for replica in replicas for _ in range(10)))
    assert provider.count(path=CHAT) == 1
    assert {(answer.status, answer.body) for answer in answers} == {(200, answers[0].body)}


async def test_calls_in_quick_succession_to_changing_replicas_are_made_once(
    replicas: list[RunningProxy], provider: Providers, prompt: str
) -> None:
    for number in range(30):
        body = chat(f"{prompt} {number}")
        answers = [await ask(replica, body) for replica in replicas]
        answers += await asyncio.gather(*(ask(replica, body) for replica in replicas))
        assert provider.count(path=CHAT) == number + 1
        assert len({answer.body for answer in answers}) == 1


async def test_when_the_leader_is_killed_before_the_head_one_other_makes_the_call(
    replicas: list[RunningProxy], provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, latency_s=6.0)
    clients: dict[int, list[RawClient]] = {}
    for index, replica in enumerate(replicas):
        clients[index] = [await secure(replica.port(), replica.trust()) for _ in range(5)]
        for client in clients[index]:
            client.send(post(chat(prompt), CHAT))
        await until(lambda: provider.count(path=CHAT) == 1, "the call has reached the provider")
    killed(leader_of(provider, replicas[:1]))
    waiting = [client for index in (1, 2) for client in clients[index]]
    answers = await asyncio.gather(*(client.answer("POST") for client in waiting))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert provider.count(path=CHAT) == 2
    for each in (*waiting, *clients[0]):
        each.abort()


async def test_when_the_leader_is_killed_in_mid_stream_the_others_see_it_within_the_lease(
    replicas: list[RunningProxy], provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=2000, interval_s=0.02)
    first = await streams(replicas[:1], prompt, 2)
    others = await streams(replicas[1:], prompt, 2)
    assert provider.count(path=CHAT) == 1
    killed(replicas[0])
    started = time.monotonic()
    assert await asyncio.gather(*map(ends, others)) == ["broken off"] * 4
    assert time.monotonic() - started < LEASE_S + 2
    for client in first:
        client.abort()
    provider.options = replace(provider.options, events=5)
    answers = await asyncio.gather(*(ask(replica, chat(prompt, stream=True)) for replica in replicas[1:]))
    assert {answer.status for answer in answers} == {200}
    assert provider.count(path=CHAT) == 2


async def test_when_the_leaders_clients_leave_the_others_go_on(
    replicas: list[RunningProxy], provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=60, interval_s=0.03)
    first, others = await led_by_the_first(replicas, prompt, 3)
    first.abort()
    assert await asyncio.gather(*map(ends, others)) == ["complete"] * 6
    assert provider.count(path=CHAT) == 1
    assert provider.traffic.abandoned == 0


async def test_when_all_clients_leave_the_upstream_call_is_cancelled(
    replicas: list[RunningProxy], provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=2000, interval_s=0.02)
    for client in [*await streams(replicas[:1], prompt), *await streams(replicas[1:], prompt)]:
        await client.read()
        client.abort()
    await until(lambda: provider.traffic.abandoned == 1, "the provider saw the reset")
    assert provider.count(path=CHAT) == 1


async def test_streams_outlive_a_redis_that_is_killed_and_comes_back(
    replicas: list[RunningProxy], provider: Providers, redis: RedisServer, prompt: str
) -> None:
    provider.options = replace(provider.options, events=200, interval_s=0.02)
    first, others = await led_by_the_first(replicas, prompt)
    redis.kill()
    for replica in replicas:
        replica.logged("redis_down")
    redis.start()
    clients = [first, *others]
    texts = await asyncio.gather(*map(read_to_end, clients))
    assert all(b"[DONE]" in text for text in texts)
    assert len({tuple(events_of(text)[-150:]) for text in texts}) == 1
    assert provider.count(path=CHAT) == 1
    for client in clients:
        client.abort()


async def test_streams_outlive_a_redis_that_stands_still(
    replicas: list[RunningProxy], provider: Providers, redis: RedisServer, prompt: str
) -> None:
    provider.options = replace(provider.options, events=200, interval_s=0.02)
    first, others = await led_by_the_first(replicas, prompt)
    redis.says("CLIENT", "PAUSE", 2500)
    assert await asyncio.gather(*map(ends, [first, *others])) == ["complete"] * 5
    assert provider.count(path=CHAT) == 1


async def test_without_redis_calls_are_made_at_once_and_shared_by_each_replica_for_itself(
    replicas: list[RunningProxy], provider: Providers, redis: RedisServer, prompt: str
) -> None:
    provider.options = replace(provider.options, latency_s=0.3)
    redis.kill()
    await asyncio.gather(*(ask(replica, chat(f"{prompt} before")) for replica in replicas))
    asked = provider.count(path=CHAT)
    started = time.monotonic()
    answers = await asyncio.gather(*(ask(replica, chat(prompt)) for replica in replicas for _ in range(5)))
    assert time.monotonic() - started < 3
    assert {answer.status for answer in answers} == {200}
    assert provider.count(path=CHAT) == asked + 3


async def test_a_leader_that_was_suspended_beyond_its_lease_harms_nobody(
    replicas: list[RunningProxy], provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, latency_s=1.0)
    body = chat(prompt)
    asleep = await secure(replicas[0].port(), replicas[0].trust())
    asleep.send(post(body, CHAT))
    await until(lambda: provider.count(path=CHAT) == 1, "the call has reached the provider")
    os.kill(replicas[0].runtime.pid, signal.SIGSTOP)
    try:
        answers = await asyncio.gather(*(ask(replica, body) for replica in replicas[1:] for _ in range(3)))
        assert len({answer.body for answer in answers}) == 1
        assert provider.count(path=CHAT) == 2
    finally:
        os.kill(replicas[0].runtime.pid, signal.SIGCONT)
    assert (await asleep.answer("POST")).status == 200
    asleep.abort()
    again = await asyncio.gather(*(ask(replica, body) for replica in replicas))
    assert {answer.status for answer in again} == {200}
    assert provider.count(path=CHAT) == 2


async def test_streams_that_replicas_share_end_before_the_leader_stops(
    replicas: list[RunningProxy], provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=60, interval_s=0.03)
    first, others = await led_by_the_first(replicas, prompt)
    first.abort()
    replicas[0].process.popen.send_signal(signal.SIGTERM)
    assert await asyncio.gather(*map(ends, others)) == ["complete"] * 4
    assert replicas[0].stop() == 0
    assert provider.traffic.abandoned == 0


async def test_workers_of_several_replicas_share_as_well(
    make_process: MakeProxy, provider: Providers, redis: RedisServer, prompt: str
) -> None:
    pair = [make_process(provider, {**joined(redis.url), "workers": 2}) for _ in range(2)]
    provider.options = replace(provider.options, events=40, interval_s=0.02, latency_s=1.0)
    body = chat(prompt, stream=True)
    answers = await asyncio.gather(*(ask(replica, body) for replica in pair for _ in range(16)))
    assert provider.count(path=CHAT) == 1
    assert len({answer.body for answer in answers}) == 1


async def test_sharing_across_replicas_can_be_turned_off(
    make_proxy: MakeProxy, provider: Providers, redis: RedisServer, prompt: str
) -> None:
    pair = [make_proxy(provider, joined(redis.url, fleet=False)) for _ in range(2)]
    provider.options = replace(provider.options, latency_s=0.5)
    await asyncio.gather(*(ask(replica, chat(prompt)) for replica in pair))
    assert provider.count(path=CHAT) == 2


@pytest.mark.slow
async def test_a_cluster_is_as_good(make_proxy: MakeProxy, provider: Providers, tmp_path: Path, prompt: str) -> None:
    with redis_cluster(tmp_path / "cluster") as cluster:
        pair = [make_proxy(provider, joined(cluster.url)) for _ in range(2)]
        provider.options = replace(provider.options, events=30, interval_s=0.02, latency_s=0.5)
        for number in range(4):
            body = chat(f"{prompt} {number}", stream=True)
            answers = await asyncio.gather(*(ask(replica, body) for replica in pair for _ in range(5)))
            assert provider.count(path=CHAT) == number + 1
            assert len({answer.body for answer in answers}) == 1


@pytest.mark.slow
async def test_streams_outlive_a_failover(
    make_proxy: MakeProxy, provider: Providers, tmp_path: Path, prompt: str
) -> None:
    with watched_servers(tmp_path / "watched") as watched:
        pair = [make_proxy(provider, joined(watched.url)) for _ in range(2)]
        provider.options = replace(provider.options, events=300, interval_s=0.03)
        first, others = await led_by_the_first(pair, prompt)
        watched.servers[0].kill()
        assert await asyncio.gather(*map(ends, [first, *others])) == ["complete"] * 3
        assert provider.count(path=CHAT) == 1
