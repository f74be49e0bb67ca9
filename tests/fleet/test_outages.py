"""What an outage costs: a call its deadline once, then nothing, and the link comes back by itself."""

import asyncio
import time
from pathlib import Path

import pytest
from hiredis import Reader
from structlog.testing import capture_logs

from proxy.fleet.link import RedisLink, RedisUnavailableError
from tests.fleet.conftest import MakeLink
from tests.support.redis_servers import RedisServer, needs_redis, redis_server
from tests.support.waiting import until

pytestmark = needs_redis()

DEADLINE_S = 0.25  # of a read here
SLACK_S = 0.2  # a busy machine
AT_ONCE_S = 0.1


async def fails(link: RedisLink, key: bytes = b"a") -> float:
    """How long a get takes to fail."""
    began = time.monotonic()
    with pytest.raises(RedisUnavailableError):
        await link.get(key)
    return time.monotonic() - began


async def comes_back(link: RedisLink, key: bytes = b"a", value: bytes | None = b"1") -> None:
    """The value is given again."""
    await until(lambda: link.is_up, "the link is up again")
    assert await link.get(key, 5.0) == value


async def test_a_frozen_server_costs_a_get_its_deadline_once(make_link: MakeLink, server: RedisServer) -> None:
    link = await make_link(server.url, read_timeout_s=DEADLINE_S)
    await link.set(b"a", b"1", 60_000)
    with capture_logs() as logs:
        server.freeze()
        try:
            first, *_ = await asyncio.gather(fails(link), fails(link), fails(link))
            assert first < DEADLINE_S + SLACK_S
            began = time.monotonic()
            for _ in range(100):
                await fails(link)
            assert time.monotonic() - began < AT_ONCE_S
            assert not link.is_up
        finally:
            server.thaw()
        await comes_back(link)
    said = [(each["event"], each["lane"]) for each in logs]
    assert said.count(("redis_down", "quick")) <= 2  # the reason, and what the first probe met
    assert said[-1] == ("redis_back", "quick")


async def test_a_killed_server_costs_nothing_and_its_successor_is_found(
    make_link: MakeLink, server: RedisServer
) -> None:
    link = await make_link(server.url, read_timeout_s=DEADLINE_S)
    await link.set(b"a", b"1", 60_000)
    server.kill()
    assert await fails(link) < DEADLINE_S + SLACK_S
    assert await fails(link) < AT_ONCE_S
    server.start()
    await comes_back(link, value=None)


async def test_a_server_that_is_not_there_at_the_start_is_found_later(make_link: MakeLink, server: RedisServer) -> None:
    server.kill()
    link = await make_link(server.url, is_up=False)
    assert await fails(link) < AT_ONCE_S
    server.start()
    await comes_back(link, value=None)


@pytest.mark.parametrize("command", [("CLIENT", "PAUSE", "1500", "ALL"), ("DEBUG", "SLEEP", "1.5")])
async def test_a_server_that_pauses_costs_a_get_its_deadline_once(
    make_link: MakeLink, server: RedisServer, command: tuple[str, ...]
) -> None:
    link = await make_link(server.url, read_timeout_s=DEADLINE_S)
    await link.set(b"a", b"1", 60_000)
    pausing = asyncio.ensure_future(asyncio.to_thread(server.says, *command))
    with capture_logs() as logs:
        failed: list[float] = []
        while not failed:
            began = time.monotonic()
            try:
                await link.get(b"a")
            except RedisUnavailableError:
                failed.append(time.monotonic() - began)
    assert failed[0] < DEADLINE_S + SLACK_S
    assert await fails(link) < AT_ONCE_S
    assert logs[0]["reason"] == "timeout"
    await comes_back(link)
    await pausing


async def test_a_pause_of_writes_leaves_reads_alone(make_link: MakeLink, server: RedisServer) -> None:
    link = await make_link(server.url, write_timeout_s=DEADLINE_S)
    await link.set(b"a", b"1", 60_000)
    server.says("CLIENT", "PAUSE", "60000", "WRITE")
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(RedisUnavailableError, match="timeout"):
                await link.set(b"a", b"2", 60_000)
            assert await link.get(b"a") == b"1"
            await until(lambda: link.stats().connections == 2, "the lane is on trial")
    assert [each["event"] for each in logs] == ["redis_down"]
    server.says("CLIENT", "UNPAUSE")
    with capture_logs() as logs:
        assert await writes(link)
    assert [each["event"] for each in logs] == ["redis_back"]


async def writes(link: RedisLink) -> bool:
    """A write goes through, after a while."""
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at:
        try:
            return await link.set(b"b", b"2", 60_000)
        except RedisUnavailableError:
            await asyncio.sleep(0.005)
    return False


async def test_a_full_server_refuses_writes_and_goes_on_answering(make_link: MakeLink, server: RedisServer) -> None:
    link = await make_link(server.url)
    await link.set(b"a", b"1", 60_000)
    server.says("CONFIG", "SET", "maxmemory", "1")
    with capture_logs() as logs:
        with pytest.raises(RedisUnavailableError, match="OOM"):
            await link.set(b"b", b"2", 60_000)
        began = link.stats().turned_away
        with pytest.raises(RedisUnavailableError, match="OOM"):
            await link.set(b"b", b"2", 60_000)
        assert link.stats().turned_away == began + 1  # it was not sent
        assert await link.get(b"a") == b"1"
    assert [(each["event"], each["lane"], each["reason"]) for each in logs] == [("redis_down", "bulk", "OOM")]
    server.says("CONFIG", "SET", "maxmemory", "0")
    assert await writes(link)


async def test_a_replica_refuses_writes_and_answers_reads(
    make_link: MakeLink, server: RedisServer, tmp_path: Path
) -> None:
    server.says("SET", "a", "1")
    with redis_server(
        tmp_path / "replica", f"replicaof 127.0.0.1 {server.port}", "repl-diskless-sync-delay 0"
    ) as other:
        await until(lambda: other.info("replication")["master_link_status"] == "up", "the replica follows")
        link = await make_link(other.url)
        assert await link.get(b"a") == b"1"
        with pytest.raises(RedisUnavailableError, match="READONLY"):
            await link.set(b"a", b"2", 60_000)
        assert await link.get(b"a") == b"1"


async def test_a_server_that_still_loads_is_left_alone_until_it_has(make_link: MakeLink, server: RedisServer) -> None:
    with server.client() as client:
        client.execute_command("DEBUG", "POPULATE", 20_000)
        client.set("a", "1")
        client.save()
    server.kill()
    with server.config.open("a") as config:
        config.write("key-load-delay 100\nloading-process-events-interval-bytes 1024\n")
    server.start()
    with capture_logs() as logs:
        link = await make_link(server.url, is_up=False)
        await until(lambda: any(each["reason"] == "LOADING" for each in logs), "it loads")
        assert await fails(link) < AT_ONCE_S
        await comes_back(link)


async def test_a_slow_answer_is_thrown_away_and_does_not_end_the_connection(make_link: MakeLink) -> None:
    released = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands = Reader()
        while piece := await reader.read(65_536):
            commands.feed(piece)
            while command := commands.gets():
                if command[-1] == b"slow":
                    await released.wait()
                writer.write(b"+%s\r\n" % command[-1])
                await writer.drain()
        writer.close()

    slow_server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port: int = slow_server.sockets[0].getsockname()[1]
    link = await make_link(f"redis://127.0.0.1:{port}")
    first, slow = asyncio.ensure_future(link.get(b"first")), asyncio.ensure_future(link.get(b"slow", 0.1))
    assert await first == b"first"
    with pytest.raises(RedisUnavailableError, match="timeout"):
        await slow
    last = asyncio.ensure_future(link.get(b"last", 5.0))
    await asyncio.sleep(0)
    released.set()
    assert await last == b"last"
    assert link.stats().connects == 2
    assert link.is_up
    await link.close()
    slow_server.close()
    await slow_server.wait_closed()


async def test_answers_stay_right_while_calls_expire(make_link: MakeLink, server: RedisServer) -> None:
    link = await make_link(server.url, read_timeout_s=0.004)
    for number in range(100):
        server.says("SET", f"{number}", f"v{number}")
    right = wrong = late = 0
    for _ in range(20):
        sleeping = asyncio.ensure_future(asyncio.to_thread(server.says, "DEBUG", "SLEEP", "0.03"))
        while not sleeping.done():
            calls = (link.get(b"%d" % number) for number in range(100))
            for number, got in enumerate(await asyncio.gather(*calls, return_exceptions=True)):
                if isinstance(got, RedisUnavailableError):
                    late += 1
                elif got == b"v%d" % number:
                    right += 1
                else:
                    wrong += 1
            await asyncio.sleep(0.002)
        await sleeping
        await until(lambda: link.is_up, "the link is up")
    assert wrong == 0
    assert right
    assert late


async def test_a_loop_that_was_busy_is_no_outage(make_link: MakeLink, server: RedisServer) -> None:
    link = await make_link(server.url, read_timeout_s=0.02)
    await link.set(b"a", b"1", 60_000)
    getting = asyncio.ensure_future(link.get(b"a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # it was sent
    time.sleep(0.1)
    assert await getting == b"1"


async def test_a_reader_and_a_hearer_come_back(make_link: MakeLink, server: RedisServer) -> None:
    link = await make_link(server.url)
    gaps: list[bool] = []
    hearing = link.hearing(lambda *_: None, lambda: gaps.append(True), [b"c"])
    reading = link.reading(b"s")
    await until(lambda: len(gaps) == 1, "it hears")
    assert await reading.read(b"0", 0.01) == []
    server.kill()
    with pytest.raises(RedisUnavailableError):
        await reading.read(b"0", 5.0)
    server.start()
    await until(lambda: len(gaps) == 2, "it hears again")
    assert await reading.read(b"0", 0.01) == []
    await hearing.close()
    await reading.close()


async def test_a_hearer_notices_a_frozen_server(make_link: MakeLink, server: RedisServer) -> None:
    link = await make_link(server.url)
    gaps: list[bool] = []
    hearing = link.hearing(lambda *_: None, lambda: gaps.append(True), [b"c"])
    await until(lambda: len(gaps) == 1, "it hears")
    server.freeze()
    try:
        await until(lambda: not hearing.is_connected, "it has given the connection up")
    finally:
        server.thaw()
    await until(lambda: len(gaps) == 2, "it hears again")
