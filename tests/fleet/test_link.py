"""What the link offers, on a real server; every form of place, user and TLS."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.fleet.link import LinkSettings, RedisLink, RedisRefusedError, RedisUnavailableError, Script
from proxy.fleet.urls import RedisUrlError
from tests.fleet.conftest import MakeLink
from tests.support.redis_servers import RedisServer, needs_redis, redis_server
from tests.support.waiting import until
from tests.support.x509 import TestCa

pytestmark = needs_redis()


async def test_values_are_kept_given_and_forgotten(make_link: MakeLink, shared_server: RedisServer) -> None:
    link = await make_link(shared_server.database(1))
    value = bytes(range(256)) * 1000
    assert await link.set(b"a", value, 60_000)
    assert not await link.set(b"a", b"other", 60_000, only_if_absent=True)
    assert await link.get(b"a") == value
    assert await link.get(b"b") is None
    assert await link.delete(b"a")
    assert not await link.delete(b"a")


async def test_values_expire(make_link: MakeLink, shared_server: RedisServer) -> None:
    link = await make_link(shared_server.database(2))
    await link.set(b"a", b"1", 60_000)
    left = await link.call("PTTL", b"a", key=b"a")
    assert isinstance(left, int)
    assert 50_000 < left <= 60_000


async def test_gets_of_one_turn_are_answered_each_with_its_own(make_link: MakeLink, shared_server: RedisServer) -> None:
    link = await make_link(shared_server.database(3))
    await asyncio.gather(*(link.set(b"%d" % number, b"v%d" % number, 60_000) for number in range(500)))
    got = await asyncio.gather(*(link.get(b"%d" % number) for number in range(500)))
    assert got == [b"v%d" % number for number in range(500)]


async def test_calls_that_are_cancelled_never_shift_answers(make_link: MakeLink, shared_server: RedisServer) -> None:
    link = await make_link(shared_server.database(4))
    await asyncio.gather(*(link.set(b"%d" % number, b"v%d" % number, 60_000) for number in range(200)))
    right = 0
    for turn in range(50):
        tasks = [asyncio.ensure_future(link.get(b"%d" % number)) for number in range(200)]
        for _ in range(turn % 4):
            await asyncio.sleep(0)
        for task in tasks[turn % 3 :: 3]:
            task.cancel()
        for number, got in enumerate(await asyncio.gather(*tasks, return_exceptions=True)):
            if not isinstance(got, asyncio.CancelledError):
                assert got == b"v%d" % number
                right += 1
    assert right >= 50 * 100
    assert link.stats().connects == 2


async def test_a_script_is_sent_once_and_then_known(make_link: MakeLink, shared_server: RedisServer) -> None:
    link = await make_link(shared_server.url)
    script = Script("return {KEYS[1], ARGV[1], 7}")
    shared_server.says("SCRIPT", "FLUSH")
    assert await link.run(script, [b"k"], [b"x"]) == [b"k", b"x", 7]
    refused = link.stats().refused
    assert await link.run(script, [b"k"], [1]) == [b"k", b"1", 7]
    assert (refused, link.stats().refused) == (1, 1)


async def test_a_refused_command_says_its_code_alone(make_link: MakeLink, shared_server: RedisServer) -> None:
    link = await make_link(shared_server.url)
    with pytest.raises(RedisRefusedError) as refused:
        await link.call("NOSUCH", b"secret", key=b"a")
    assert str(refused.value) == "ERR"
    assert link.is_up


async def test_a_stream_is_read_while_it_is_written(make_link: MakeLink, shared_server: RedisServer) -> None:
    link = await make_link(shared_server.database(5))
    reading = link.reading(b"stream")
    waiting = asyncio.ensure_future(reading.read(b"0", 10.0))
    await until(lambda: link.stats().connections == 3, "the reader has its connection")
    first = await link.add(b"stream", [b"f", b"1"], 100)
    items = await waiting
    assert [(item.id, item.fields) for item in items] == [(first, [b"f", b"1"])]
    assert await reading.read(first, 0.01) == []
    await link.add(b"stream", [b"f", b"2"], 100)
    assert [item.fields for item in await reading.read(first, 1.0)] == [[b"f", b"2"]]
    await reading.close()
    assert link.stats().connections == 2


async def test_a_read_that_is_cancelled_does_not_disturb_the_next(
    make_link: MakeLink, shared_server: RedisServer
) -> None:
    link = await make_link(shared_server.database(6))
    reading = link.reading(b"stream")
    waiting = asyncio.ensure_future(reading.read(b"$", 30.0))
    await until(lambda: link.stats().connections == 3, "the reader has its connection")
    waiting.cancel()
    await asyncio.wait([waiting])
    await link.add(b"stream", [b"f", b"1"], 100)
    assert [item.fields for item in await reading.read(b"0", 1.0)] == [[b"f", b"1"]]


async def test_channels_are_heard_also_those_that_are_added(make_link: MakeLink, shared_server: RedisServer) -> None:
    link = await make_link(shared_server.url)
    heard: list[tuple[bytes, bytes]] = []
    gaps: list[bool] = []
    hearing = link.hearing(lambda *message: heard.append(message), lambda: gaps.append(True), [b"a"])
    await until(lambda: len(gaps) == 1, "it hears")
    hearing.add(b"b")
    await until(lambda: b"b" in channels(shared_server), "it hears the other too")
    await link.publish(b"a", b"1")
    await link.publish(b"b", b"2")
    await until(lambda: heard == [(b"a", b"1"), (b"b", b"2")], "both were heard")
    hearing.drop(b"a")
    await until(lambda: channels(shared_server) == [b"b"], "one is dropped")
    await hearing.close()
    await until(lambda: channels(shared_server) == [], "its connection is closed")


def channels(server: RedisServer) -> list[bytes]:
    said = server.says("PUBSUB", "CHANNELS")
    assert isinstance(said, list)
    return said


async def test_channels_are_heard_again_after_the_connection_was_lost(
    make_link: MakeLink, shared_server: RedisServer
) -> None:
    link = await make_link(shared_server.url)
    heard: list[bytes] = []
    gaps: list[bool] = []
    hearing = link.hearing(lambda _, message: heard.append(message), lambda: gaps.append(True), [b"again"])
    await until(lambda: len(gaps) == 1, "it hears")
    shared_server.says("CLIENT", "KILL", "TYPE", "pubsub")
    await until(lambda: len(gaps) == 2, "it hears again")
    await link.publish(b"again", b"1")
    await until(lambda: heard == [b"1"], "it was heard")
    await hearing.close()


async def test_connections_of_ones_own_are_bounded(make_link: MakeLink, shared_server: RedisServer) -> None:
    link = await make_link(shared_server.url, max_connections=5)
    for _ in range(3):
        link.reading(b"s")
    with pytest.raises(RedisUnavailableError, match="too_many_connections"):
        link.reading(b"s")


async def test_a_socket_in_the_file_system(make_link: MakeLink, shared_server: RedisServer) -> None:
    link = await make_link(f"unix://{shared_server.path}?db=7")
    await link.set(b"a", b"1", 1000)
    assert await link.get(b"a") == b"1"


async def test_a_user_with_few_rights(make_link: MakeLink, tmp_path: Path) -> None:
    user = "user sidecar on >p@ss:w/rd ~skinflint:* &skinflint:* -@all +get +set +unlink"
    with redis_server(tmp_path / "acl", user) as server:
        link = await make_link(f"redis://sidecar:p%40ss%3Aw%2Frd@127.0.0.1:{server.port}")
        await link.set(b"skinflint:a", b"1", 1000)
        assert await link.get(b"skinflint:a") == b"1"
        with pytest.raises(RedisRefusedError, match="NOPERM"):
            await link.get(b"other")
        given = await make_link(
            f"redis://127.0.0.1:{server.port}", username="sidecar", read_password=lambda: "p@ss:w/rd"
        )
        assert await given.get(b"skinflint:a") == b"1"


@pytest.mark.parametrize("is_asked_for", [False, True])
async def test_tls_is_verified(make_link: MakeLink, tmp_path: Path, is_asked_for: bool) -> None:
    ca = TestCa(tmp_path)
    with redis_server(tmp_path / "tls", f"tls-auth-clients {'yes' if is_asked_for else 'no'}", ca=ca) as server:
        own = {"certificate": server.client_pem, "key": server.client_pem} if is_asked_for else {}
        link = await make_link(f"rediss://localhost:{server.port}", ca=ca.root, **own)
        await link.set(b"a", b"1" * 100_000, 1000)
        assert await link.get(b"a") == b"1" * 100_000
        with capture_logs() as logs:
            stranger = await make_link(f"rediss://localhost:{server.port}", is_up=False)
            await until(lambda: bool(logs), "that is logged")
        assert logs[0]["reason"] == "certificate_refused"
        assert not stranger.is_up


@pytest.mark.parametrize(
    ("credentials", "reason"), [("default:hidden@", "WRONGPASS"), ("", "NOAUTH"), ("nobody:hidden@", "WRONGPASS")]
)
async def test_a_wrong_password_is_said_once_and_not_shown(
    make_link: MakeLink, tmp_path: Path, credentials: str, reason: str
) -> None:
    with redis_server(tmp_path / "auth", "requirepass right") as server, server.client("right") as client:
        with capture_logs() as logs:
            link = await make_link(f"redis://{credentials}127.0.0.1:{server.port}", is_up=False)
            await until(lambda: client.info("stats")["total_connections_received"] >= 8, "it has tried a few times")
        with pytest.raises(RedisUnavailableError, match=reason):
            await link.get(b"a")
    assert [(each["event"], each["reason"]) for each in logs] == [("redis_down", reason)] * 2
    assert "hidden" not in repr(logs) + repr(link.settings) + repr(link.stats())


async def test_a_password_that_cannot_be_read_is_no_connection(make_link: MakeLink, shared_server: RedisServer) -> None:
    def unreadable() -> str:
        raise FileNotFoundError

    link = await make_link(shared_server.url, is_up=False, read_password=unreadable)
    with capture_logs() as logs:
        await until(lambda: bool(logs), "that is logged")
    assert logs[0]["reason"] == "password_file_unreadable"
    assert not link.is_up


async def test_a_host_that_is_no_name_is_an_outage_like_any_other(make_link: MakeLink) -> None:
    with capture_logs() as logs:
        link = await make_link(f"redis://{'a' * 70}.example", is_up=False)
        await until(lambda: bool(logs), "that is logged")
    assert logs[0]["reason"] in {"not_an_address", "connection_failed"}
    assert not link.is_up


def test_a_url_that_says_no_place_is_refused_at_once() -> None:
    with pytest.raises(RedisUrlError):
        RedisLink(LinkSettings("redis://"))


async def test_a_link_that_is_not_started_or_closed_fails_at_once(
    make_link: MakeLink, shared_server: RedisServer
) -> None:
    link = await make_link(shared_server.url)
    await link.close()
    with pytest.raises(RedisUnavailableError, match="closed"):
        await link.get(b"a")
    assert not link.is_up
    assert link.stats().connections == 0


async def test_a_cluster_needs_its_own_form(make_link: MakeLink, shared_server: RedisServer) -> None:
    with capture_logs() as logs:
        link = await make_link(f"cluster://127.0.0.1:{shared_server.port}", is_up=False)
        await until(lambda: bool(logs), "that is logged")
    assert logs[0]["reason"] == "no_cluster"
    with pytest.raises(RedisUnavailableError):
        await link.get(b"a")


def test_redis_py_is_not_imported_for_what_needs_no_sentinels() -> None:
    code = "import proxy.fleet.link, proxy.fleet.store, sys; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
