"""Several workers behind one set of listeners: they share the work, outlive one another, and answer as one proxy.

Rules: a worker is told apart by the `worker` field of the log and by /v1/stats; connections are spread by the kernel
or by the workers, so tests open as many as it takes to reach each.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from proxy import runtime
from proxy.exchange.provider import Json
from tests.conftest import MakeProxy
from tests.e2e.calls import CHAT, begin, chat, read_to_end
from tests.support.background import Providers
from tests.support.processes import environment, is_alive, wait_until
from tests.support.raw_client import RawClient, connect, post, secure, tunnel
from tests.support.running import (
    RunningProxy,
    accepts,
    command,
    held_by_a_lifeline,
    merged,
    stopped_within,
    write_settings,
)
from tests.support.waiting import until

MOST_CONNECTIONS = 200


@pytest.fixture
def make_fleet(make_proxy: MakeProxy) -> MakeProxy:
    """Makes proxies with two workers."""
    return of_two(make_proxy)


@pytest.fixture
def make_new_fleet(make_process: MakeProxy) -> MakeProxy:
    """The same, as processes from scratch: for what happens when they end."""
    return of_two(make_process)


def of_two(make_any: MakeProxy) -> MakeProxy:
    def make(provider: Providers, settings: Mapping[str, object] | None = None) -> RunningProxy:
        return make_any(provider, merged({"workers": 2}, settings or {}))

    return make


@pytest.fixture
def short_dir() -> Iterator[str]:
    """A data directory whose path leaves room for the workers' sockets."""
    with tempfile.TemporaryDirectory() as made:
        yield made


def workers(proxy: RunningProxy) -> list[Json]:
    """What /v1/stats says of each."""
    return cast(list[Json], proxy.stats()["workers"])


def pids(proxy: RunningProxy) -> list[int]:
    """The workers' process ids, by place."""
    return [int(str(worker["pid"])) for worker in workers(proxy)]


def children(pid: int) -> set[int]:
    """The processes that this one has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {int(each) for each in text.split()}


def places(proxy: RunningProxy) -> set[object]:
    """The workers that have answered a call."""
    return {event["worker"] for event in proxy.events("call")}


async def ask_until_both(proxy: RunningProxy, prompt: str) -> int:
    """Calls on connections of their own until both workers have answered; returns how many it took."""
    for number in range(1, MOST_CONNECTIONS):
        async with await secure(proxy.port(), proxy.trust()) as client:
            client.send(post(chat(f"{prompt} {number}")))
            assert (await client.answer()).status == 200
        proxy.logged("call", number)
        if len(places(proxy)) == 2:
            return number
    raise AssertionError("all connections went to one worker")


@contextlib.asynccontextmanager
async def streams_in_both(proxy: RunningProxy, prompt: str) -> AsyncIterator[dict[int, list[RawClient]]]:
    """Streams under way, by the worker that serves them: at least one in each."""
    found: dict[int, list[RawClient]] = {0: [], 1: []}
    try:
        for number in range(MOST_CONNECTIONS):
            before = in_flight(proxy)
            client = await begin(proxy, chat(f"{prompt} {number}", stream=True))
            await until(lambda before=before: in_flight(proxy) != before, "a worker has it")  # type: ignore[misc]
            after = in_flight(proxy)
            found[0 if after[0] > before[0] else 1].append(client)
            if found[0] and found[1]:
                break
        yield found
    finally:
        for client in [*found[0], *found[1]]:
            client.abort()


def in_flight(proxy: RunningProxy) -> list[int]:
    """Calls under way, by worker."""
    return [int(str(worker["exchanges_in_flight"])) for worker in workers(proxy)]


async def test_calls_are_spread_and_everything_adds_up(make_fleet: MakeProxy, provider: Providers, prompt: str) -> None:
    proxy = make_fleet(provider)
    count = await ask_until_both(proxy, prompt)
    rows = proxy.settled(count)
    assert len({row["id"] for row in rows}) == len(rows) == count
    assert proxy.metric("skinflint_requests_total") == count
    assert proxy.metric("skinflint_request_seconds_count") == count
    assert proxy.metric("skinflint_client_connections_total", kind="intercepted") == count
    assert proxy.metric("skinflint_workers") == 2
    stats = proxy.stats()
    assert cast(Json, stats["calls"])["total"] == count
    wait_until(lambda: cast(Json, proxy.stats()["ledger"])["written"] == count, "all rows are written")
    assert proxy.metric("skinflint_ledger_rows", state="written") == count
    assert provider.count(path=CHAT) == count
    assert set(pids(proxy)) == children(proxy.process.popen.pid)


async def test_the_cache_is_cleared_in_all_workers(make_fleet: MakeProxy, provider: Providers, prompt: str) -> None:
    proxy = make_fleet(provider)
    await ask_until_both(proxy, prompt)
    assert proxy.admin("/v1/cache/clear", "POST")[0] == 200
    cache = cast(dict[str, Json], proxy.stats()["cache"])
    assert sum(int(str(tier["entries"])) for tier in cache.values()) == 0


async def test_a_killed_worker_drops_its_own_connections_alone_and_is_replaced(
    make_fleet: MakeProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=400, interval_s=0.02)
    proxy = make_fleet(provider)
    async with streams_in_both(proxy, prompt) as streams:
        victim, survivor = pids(proxy)
        before = proxy.metric("skinflint_client_connections_total")
        os.kill(victim, signal.SIGKILL)
        for client in streams[0]:
            assert not (await client.read_all()).endswith(b"0\r\n\r\n")
        wait_until(lambda: proxy.metric("skinflint_workers") == 2, "it is replaced", process=proxy.process)
        replacement, same = pids(proxy)
        assert (same, replacement != victim) == (survivor, True)
        for client in streams[1]:
            assert b"[DONE]" in await read_to_end(client)
    assert proxy.metric("skinflint_client_connections_total") >= before
    assert proxy.metric("skinflint_worker_restarts_total", worker="0") == 1
    assert proxy.metric("skinflint_worker_restarts_total", worker="1") == 0
    (event,) = proxy.events("worker_died")
    assert (event["worker"], event["signal"], event["pid"]) == (0, "SIGKILL", victim)
    provider.options = replace(provider.options, interval_s=0)
    seen = len(proxy.events("call"))
    await until_worker_answers(proxy, prompt, seen, 0)


async def until_worker_answers(proxy: RunningProxy, prompt: str, seen: int, index: int) -> None:
    """Calls until this worker has answered one that is not among the first `seen`."""
    for number in range(MOST_CONNECTIONS):
        async with await secure(proxy.port(), proxy.trust()) as client:
            client.send(post(chat(f"{prompt} once more {number}")))
            assert (await client.answer()).status == 200
        proxy.logged("call", seen + number + 1)
        if index in {event["worker"] for event in proxy.events("call")[seen:]}:
            return
    raise AssertionError(f"worker {index} is never asked")


async def test_counts_never_fall_and_rows_are_kept_once_when_workers_are_killed(
    make_fleet: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_fleet(provider)
    answered = 0
    for round_ in range(4):
        for number in range(5):
            async with await secure(proxy.port(), proxy.trust()) as client:
                client.send(post(chat(f"{prompt} {round_} {number}")))
                assert (await client.answer()).status == 200
        answered += 5
        assert len(proxy.settled(answered)) == answered
        assert proxy.metric("skinflint_requests_total") == answered
        wait_until(
            lambda count=answered: proxy.metric("skinflint_ledger_rows", state="written") == count,  # type: ignore[misc]
            "what is written is counted",
            process=proxy.process,
        )
        os.kill(pids(proxy)[round_ % 2], signal.SIGKILL)
        proxy.logged("worker_died", round_ + 1)
        assert proxy.metric("skinflint_requests_total") == answered
        wait_until(lambda: proxy.metric("skinflint_workers") == 2, "it is replaced", process=proxy.process)
        assert proxy.metric("skinflint_requests_total") == answered
        assert cast(Json, proxy.stats()["calls"])["total"] == answered
    assert proxy.metric("skinflint_ledger_rows", state="written") == answered
    assert proxy.stop() == 0
    ids = [row["id"] for row in proxy.rows()]
    assert (len(ids), len(set(ids))) == (answered, answered)


async def test_connections_wait_while_there_is_no_worker(
    make_fleet: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_fleet(provider)
    for pid in pids(proxy):
        os.kill(pid, signal.SIGKILL)
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(post(chat(prompt)))
        assert (await client.answer()).status == 200


async def test_streams_of_all_workers_are_finished_before_the_end(
    make_new_fleet: MakeProxy, provider: Providers, short_dir: str, prompt: str
) -> None:
    provider.options = replace(provider.options, events=300, interval_s=0.02)
    proxy = make_new_fleet(provider, {"drain": {"timeout_s": 60}, "data_dir": short_dir})
    async with streams_in_both(proxy, prompt) as streams:
        proxy.process.popen.send_signal(signal.SIGTERM)
        await until(lambda: not accepts(proxy.port()), "nothing new is accepted")
        for client in [*streams[0], *streams[1]]:
            assert b"[DONE]" in await read_to_end(client)
        count = sum(map(len, streams.values()))
    await until(lambda: not proxy.process.is_running(), "the process has ended")
    assert proxy.process.popen.returncode == 0
    assert [row["status"] for row in proxy.rows()] == [200] * count
    assert not (proxy.data_dir / runtime.FILE_NAME).exists()
    assert list(proxy.data_dir.glob("workers-*")) == []


async def test_a_reload_reaches_all_workers_and_those_that_replace_them(
    make_fleet: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_fleet(provider)
    settings = proxy.config.read_text()
    proxy.config.write_text(settings.replace('"log":{', '"profile":"development","log":{'))
    proxy.reload()
    await until(lambda: applied(proxy) == {None, 0, 1}, "all have applied it")
    assert proxy.stats()["profile"] == "development"
    before = pids(proxy)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: proxy.metric("skinflint_workers") == 2 and not set(pids(proxy)) & set(before), "replaced")
    assert proxy.stats()["profile"] == "development"


def applied(proxy: RunningProxy) -> set[object]:
    return {event.get("worker") for event in proxy.events("settings_applied")}


async def test_bad_settings_are_refused_once_and_the_number_of_workers_is_fixed(
    make_fleet: MakeProxy, provider: Providers
) -> None:
    proxy = make_fleet(provider)
    proxy.config.write_text(proxy.config.read_text().replace('"workers":2', '"workers":3'))
    proxy.reload()
    assert "workers cannot change while running" in str(proxy.logged("settings_refused")[0]["reason"])
    assert len(pids(proxy)) == 2
    await until(lambda: proxy.metric("skinflint_settings_reloads_total", outcome="refused") == 1, "it is counted")


async def test_workers_end_with_their_supervisor(
    make_new_fleet: MakeProxy, provider: Providers, short_dir: str, prompt: str
) -> None:
    provider.options = replace(provider.options, events=100, interval_s=0.02)
    proxy = make_new_fleet(provider, {"drain": {"timeout_s": 60}, "data_dir": short_dir})
    mine = pids(proxy)
    assert len(list(proxy.data_dir.glob("workers-*"))) == 1
    client = await begin(proxy, chat(prompt, stream=True))
    proxy.process.popen.kill()
    proxy.process.popen.wait()
    assert b"[DONE]" in await read_to_end(client)
    client.abort()
    await until(lambda: not any(map(is_alive, mine)), "no worker is left")
    assert list(proxy.data_dir.glob("workers-*")) == []
    assert runtime.read(proxy.data_dir) is None


async def test_signals_to_the_group_are_the_supervisors_business(
    make_new_fleet: MakeProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=100, interval_s=0.02)
    proxy = make_new_fleet(provider, {"drain": {"timeout_s": 60}})
    client = await begin(proxy, chat(prompt, stream=True))
    os.killpg(proxy.process.popen.pid, signal.SIGINT)
    assert b"[DONE]" in await read_to_end(client)
    client.abort()
    await until(lambda: not proxy.process.is_running(), "the process has ended")
    assert proxy.process.popen.returncode == 0


async def test_an_endless_stream_ends_at_the_drain_limit_of_all(
    make_new_fleet: MakeProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=5000, interval_s=0.05)
    proxy = make_new_fleet(provider, {"drain": {"timeout_s": 0.5}})
    client = await begin(proxy, chat(prompt, stream=True))
    proxy.process.popen.send_signal(signal.SIGTERM)
    await asyncio.to_thread(stopped_within, proxy.process)
    client.abort()
    assert proxy.process.popen.returncode == 0
    assert len(proxy.events("exchanges_cut_off")) == 1


async def test_a_worker_that_does_not_answer_is_done_without(
    make_fleet: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_fleet(provider)
    count = await ask_until_both(proxy, prompt)
    wait_until(lambda: proxy.metric("skinflint_requests_total") == count, "all is counted")
    frozen = pids(proxy)[1]
    os.kill(frozen, signal.SIGSTOP)
    try:
        assert proxy.admin("/livez")[0] == 200
        status, text = proxy.admin("/readyz")
        assert (status, "worker 1" in text) == (200, True)
        assert proxy.metric("skinflint_requests_total") == count
        status, text = proxy.admin("/v1/cache/clear", "POST")
        assert (status, "worker 1" in text) == (503, True)
    finally:
        os.kill(frozen, signal.SIGCONT)


async def test_the_fleet_ends_with_its_lifeline(tmp_path: Path) -> None:
    with held_by_a_lifeline(tmp_path, {"workers": 2}) as process:
        mine = children(process.pid)
        assert len(mine) == 2
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0
        assert not any(map(is_alive, mine))


async def test_an_address_in_use_is_an_error_also_of_another_fleet(
    make_fleet: MakeProxy, provider: Providers, tmp_path: Path
) -> None:
    proxy = make_fleet(provider)
    listener = {"address": f"127.0.0.1:{proxy.port()}", "mode": "regular"}
    config = write_settings(tmp_path / "second", {"workers": 2, "listeners": [listener]})
    ended = await asyncio.to_thread(
        subprocess.run,
        command(config),
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert b"Address already in use" in ended.stderr


async def test_all_kinds_of_listeners_are_shared(make_fleet: MakeProxy, provider: Providers, prompt: str) -> None:
    reverse = "reverse:https://api.openai.com"
    listeners = [
        {"address": "localhost:0", "mode": "regular"},
        {"address": "127.0.0.1:0", "mode": "hosts"},
        {"address": "[::1]:0", "mode": reverse},
    ]
    proxy = make_fleet(provider, {"listeners": listeners})
    for number in range(8):
        async with await connect(proxy.port("hosts")) as named, await connect(proxy.port(reverse), "::1") as plain:
            await named.start_tls(proxy.trust(), "api.openai.com")
            for client in (named, plain):
                client.send(post(chat(f"{prompt} {number}")))
                assert (await client.answer()).status == 200
    client = await tunnel(proxy.port(), "api.openai.com:443")
    client.abort()
    assert len(proxy.settled(16)) == 16


async def test_open_connections_are_spread_evenly(make_fleet: MakeProxy, provider: Providers, prompt: str) -> None:
    proxy = make_fleet(provider)
    async with contextlib.AsyncExitStack() as opened:
        for number in range(8):
            client = await opened.enter_async_context(await secure(proxy.port(), proxy.trust()))
            client.send(post(chat(f"{prompt} {number}")))
            assert (await client.answer()).status == 200
        assert [worker["client_connections"] for worker in workers(proxy)] == [4, 4]
