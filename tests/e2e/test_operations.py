"""Running it: probes, reloading, starting where something is wrong, and starting again."""

import asyncio
import contextlib
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from proxy import runtime
from proxy.demo.faults import Options
from tests.conftest import MakeProvider, MakeProxy
from tests.e2e.calls import ask, begin, chat, read_to_end, said
from tests.support.background import Providers
from tests.support.processes import RunningProcess, environment, running, wait_until
from tests.support.raw_client import post, secure
from tests.support.running import RunningProxy, command, stopped_within, write_settings
from tests.support.waiting import until


@pytest.fixture
def make_proxy(make_process: MakeProxy) -> MakeProxy:
    """Here proxies are processes from scratch."""
    return make_process


def settings_of(proxy: RunningProxy) -> dict[str, object]:
    """The settings file as it stands."""
    value = orjson.loads(proxy.config.read_bytes())
    assert isinstance(value, dict)
    return value


async def test_probes_answer(proxy: RunningProxy) -> None:
    assert proxy.admin("/livez") == (200, "ok\n")
    assert proxy.admin("/readyz") == (200, "ready\n")
    assert proxy.admin("/nothing")[0] == 404
    assert proxy.stats()["profile"] == "production"


async def test_a_hangup_signal_applies_new_settings(make_proxy: MakeProxy, provider: Providers, prompt: str) -> None:
    proxy = make_proxy(provider)
    proxy.config.write_bytes(orjson.dumps({**settings_of(proxy), "cache": {"enabled": False}}))
    proxy.reload()
    await until(lambda: bool(proxy.events("settings_applied")), "the settings are applied")
    assert [said(await ask(proxy, chat(prompt))) for _ in range(2)] == ["bypass", "bypass"]


async def test_a_changed_file_is_noticed(make_proxy: MakeProxy, provider: Providers, prompt: str) -> None:
    proxy = make_proxy(provider)
    proxy.config.write_bytes(orjson.dumps({**settings_of(proxy), "profile": "development"}))
    await until(lambda: bool(proxy.events("settings_applied")), "the settings are applied")
    assert proxy.stats()["profile"] == "development"


async def test_bad_settings_are_refused_and_the_old_stay(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_proxy(provider)
    before = settings_of(proxy)
    for bad in (b"cache: [", orjson.dumps({**before, "cache": {"ttl": 1}}), orjson.dumps({**before, "admin": {}})):
        proxy.config.write_bytes(bad)
        seen = len(proxy.events("settings_refused"))
        proxy.reload()
        await until(lambda seen=seen: len(proxy.events("settings_refused")) > seen, "it was refused")  # type: ignore[misc]
    assert [said(await ask(proxy, chat(prompt))) for _ in range(2)] == ["miss", "hit"]
    assert proxy.events("settings_applied") == []
    await until(lambda: proxy.metric("skinflint_settings_reloads_total", outcome="refused") >= 3, "all are counted")
    assert proxy.metric("skinflint_settings_reloads_total", outcome="applied") == 0


async def test_a_stream_survives_a_reload_that_replaces_the_pool(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=60, interval_s=0.03)
    proxy = make_proxy(provider)
    client = await begin(proxy, chat(prompt, stream=True))
    upstream = settings_of(proxy)["upstream"]
    assert isinstance(upstream, dict)
    proxy.config.write_bytes(orjson.dumps({**settings_of(proxy), "upstream": {**upstream, "keepalive_s": 30}}))
    proxy.reload()
    await until(lambda: bool(proxy.events("settings_applied")), "the settings are applied")
    assert (await ask(proxy, chat(f"{prompt} meanwhile", max_tokens=2))).status == 200
    assert b"[DONE]" in await read_to_end(client)
    client.abort()
    assert proxy.stop() == 0


def started(directory: Path, settings: dict[str, object]) -> contextlib.AbstractContextManager[RunningProcess]:
    """A proxy that is expected not to get ready."""
    return running(command(write_settings(directory, settings)), directory, environment(directory))


@pytest.mark.parametrize("which", ["listeners", "admin"])
def test_a_port_that_is_taken_is_a_clear_error(tmp_path: Path, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        listener: object = {"address": address}
        with started(tmp_path, {which: [listener] if which == "listeners" else listener}) as process:
            stopped_within(process)
            assert process.popen.returncode == 1
            (line,) = [line for line in process.output.splitlines() if "ca_created" not in line]
    purpose = "regular" if which == "listeners" else which
    assert orjson.loads(line)["reason"] == f"cannot listen on {address} ({purpose}): Address already in use"
    assert not (tmp_path / "data" / runtime.FILE_NAME).exists()


@contextlib.contextmanager
def tmpfs(directory: Path, options: str) -> Iterator[Path]:
    """A small file system of its own."""
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def test_a_data_directory_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "ro,size=1m") as disk, started(tmp_path, {"data_dir": str(disk)}) as process:
        stopped_within(process)
        assert process.popen.returncode == 1
        assert f"the data directory {disk} cannot be used" in process.output
        assert "Traceback" not in process.output


async def test_a_full_disk_stops_the_ledger_and_nothing_else(
    make_proxy: MakeProxy, provider: Providers, prompt: str, tmp_path: Path
) -> None:
    with tmpfs(tmp_path / "disk", "size=3m") as disk:
        proxy = make_proxy(provider, {"data_dir": str(disk / "data")})
        try:
            await ask(proxy, chat(f"{prompt} first"))
            assert len(proxy.settled(1)) == 1
            ballast = disk / "ballast"
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(4096)):
                    pass
            number = 0
            while "degraded" not in proxy.admin("/readyz")[1]:
                assert number < 2000
                assert (await ask(proxy, chat(f"{prompt} {number}", max_tokens=1))).status == 200
                number += 1
            status, text = proxy.admin("/readyz")
            assert (status, text.splitlines()[0]) == (200, "ready")
            for more in range(20):
                assert (await ask(proxy, chat(f"{prompt} more {more}"))).status == 200
            assert len(proxy.events("ledger_degraded")) == 1
            ballast.unlink()
            await until(lambda: "degraded" not in proxy.admin("/readyz")[1], "it recovers", 60)
            assert len(proxy.settled(number + 21)) == number + 21
            assert len(proxy.events("ledger_recovered")) == 1
        finally:
            assert proxy.stop() == 0


async def test_a_killed_proxy_starts_again_with_its_ca_and_ledger(
    make_proxy: MakeProxy, provider: Providers, prompt: str, tmp_path: Path
) -> None:
    first = make_proxy(provider, directory=tmp_path / "same")
    await ask(first, chat(prompt))
    first.settled(1)
    root = first.runtime.ca.read_bytes()
    client = await begin(first, chat(f"{prompt} stream", stream=True))
    first.process.popen.kill()
    await asyncio.to_thread(stopped_within, first.process)
    client.abort()
    second = make_proxy(provider, directory=tmp_path / "same")
    assert second.runtime.ca.read_bytes() == root
    assert second.runtime.pid != first.runtime.pid
    await ask(second, chat(prompt))
    assert len(second.settled(2)) >= 2
    assert second.stop() == 0
    assert not (second.data_dir / runtime.FILE_NAME).exists()


async def test_two_proxies_share_a_data_directory(
    make_proxy: MakeProxy, provider: Providers, prompt: str, tmp_path: Path
) -> None:
    shared: dict[str, object] = {"data_dir": str(tmp_path / "shared")}
    one = make_proxy(provider, shared, tmp_path / "one")
    two = make_proxy(provider, shared, tmp_path / "two")
    assert one.runtime.ca.read_bytes() == two.runtime.ca.read_bytes()
    calls = [ask(proxy, chat(f"{prompt} {number}")) for number in range(40) for proxy in (one, two)]
    assert {answer.status for answer in await asyncio.gather(*calls)} == {200}
    rows = one.settled(80)
    assert len({row["id"] for row in rows}) == len(rows) == 80
    assert {row["credential"] for row in rows} == {rows[0]["credential"]}
    assert one.stop() == 0
    found = runtime.read(tmp_path / "shared")
    assert found is not None
    assert found.pid == two.runtime.pid
    assert two.stop() == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "shared" / "ledger.sqlite")) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)


async def test_two_proxies_that_start_at_once_agree_on_one_ca(provider: Providers, tmp_path: Path) -> None:
    data = tmp_path / "shared"
    directories = [tmp_path / "one", tmp_path / "two"]
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(started(each, {"data_dir": str(data)})) for each in directories]
        for process in both:
            wait_until(lambda process=process: '"ready"' in process.output, "it is ready", process=process)  # type: ignore[misc]
        assert [process.stop() for process in both] == [0, 0]
    created = sum(process.output.count('"ca_created"') for process in both)
    assert created == 1


async def test_a_client_that_resets_all_the_time_leaves_nothing_open(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    provider = make_provider(Options(events=50, interval_s=0.02))
    proxy = make_proxy(provider)
    for number in range(30):
        client = await secure(proxy.port(), proxy.trust())
        client.send(post(chat(f"{prompt} {number}", stream=True)))
        if number % 2:
            await client.head()
        await client.leave()
    await until(lambda: proxy.metric("skinflint_exchanges_in_flight") == 0, "no call is under way")
    await until(lambda: proxy.metric("skinflint_client_connections_open") == 0, "no client is there")
    await until(lambda: proxy.metric("skinflint_upstream_in_flight") == 0, "nothing is under way upstream")
    descriptors = len(list(Path(f"/proc/{proxy.runtime.pid}/fd").iterdir()))
    assert descriptors < 60
