"""The proxy beside one application: what starts first, what a restart keeps, and how its end is seen.

In a pod the volume outlives the container, and addresses stay: so do they here.
"""

import asyncio
import contextlib
import os
import signal
import sqlite3
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from config.schema import split_address
from proxy import runtime
from proxy.demo.certificates import Certificates
from tests.conftest import MakeProxy, towards
from tests.e2e.calls import ask, begin, chat
from tests.e2e.sdk_support import KEYS, SCRIPTS, Client
from tests.e2e.test_operations import started, tmpfs
from tests.support.background import Providers
from tests.support.processes import clients_python, environment, free_port, running, wait_until
from tests.support.raw_client import connect, post, secure
from tests.support.running import RunningProxy, accepts, command, merged, stopped_within, write_settings
from tests.support.waiting import until
from tests.support.zygote import Zygote

TRUST_FILES = ("skinflint-ca.pem", "bundle.pem", "truststore.p12")
RETRIES_LAST_S = 1.1  # of the SDK's two, which wait for half a second and a second, less a quarter


def pod(directory: Path, **settings: object) -> dict[str, object]:
    """A sidecar's settings: addresses of its own, the public files apart."""
    return {
        "listeners": [{"address": f"127.0.0.1:{free_port()}", "mode": "regular"}],
        "admin": {"address": f"127.0.0.1:{free_port()}"},
        "data_dir": str(directory / "data"),
        "trust_dir": str(directory / "trust"),
        **settings,
    }


def port_of(settings: dict[str, object]) -> int:
    listeners = settings["listeners"]
    assert isinstance(listeners, list)
    return split_address(listeners[0]["address"])[1]


async def probe(port: int) -> int:
    """What /readyz says; 0 while nobody answers."""
    with contextlib.suppress(OSError, EOFError):
        async with await connect(port) as client:
            client.send(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
            return (await client.answer()).status
    return 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_ready_means_that_listeners_are_open_and_trust_files_written(tmp_path: Path, workers: int) -> None:
    settings = pod(tmp_path, workers=workers)
    admin = settings["admin"]
    assert isinstance(admin, dict)
    with running(command(write_settings(tmp_path, settings)), tmp_path, environment(tmp_path)) as process:
        async with asyncio.timeout(60):
            while await probe(split_address(admin["address"])[1]) != 200:
                assert process.is_running(), process.output
                await asyncio.sleep(0.01)
        assert all((tmp_path / "trust" / name).stat().st_size for name in TRUST_FILES)
        assert accepts(port_of(settings))
        assert not [found for found in (tmp_path / "trust").iterdir() if "key" in found.name]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_keeps_what_clients_trust(
    make_process: MakeProxy, provider: Providers, prompt: str, tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    settings = pod(tmp_path, workers=workers)
    first = make_process(provider, settings, tmp_path)
    trust = first.trust()
    files = {name: (tmp_path / "trust" / name).stat().st_mtime_ns for name in TRUST_FILES}
    assert (await ask(first, chat(prompt))).status == 200
    os.killpg(first.process.popen.pid, number)  # a container's end is that of all in it
    await asyncio.to_thread(stopped_within, first.process)
    await until(lambda: not accepts(port_of(settings)), "its workers are gone")
    second = make_process(provider, settings, tmp_path)
    assert {name: (tmp_path / "trust" / name).stat().st_mtime_ns for name in TRUST_FILES} == files
    async with await secure(second.port(), trust) as client:
        client.send(post(chat(f"{prompt} again")))
        assert (await client.answer()).status == 200
    assert second.stop() == 0
    assert list((tmp_path / "data").glob("workers-*")) == []


async def test_killed_at_any_point_of_its_start_it_starts_the_next_time(
    make_process: MakeProxy, provider: Providers, authority: Certificates, prompt: str, tmp_path: Path
) -> None:
    """A loop of restarts leaves drafts, locks and a stale runtime file: none of them is in the way."""
    settings = merged(towards(provider, authority), pod(tmp_path, workers=2))
    config = write_settings(tmp_path, settings)
    for made in ("data/ca", "trust/skinflint-ca.pem", "data/ledger.sqlite"):
        with running(command(config), tmp_path, environment(tmp_path)) as process:
            wait_until(lambda made=made: any(tmp_path.glob(made)), f"{made} is there", process=process)  # type: ignore[misc]
            os.killpg(process.popen.pid, signal.SIGKILL)
            stopped_within(process)
    stale = runtime.Runtime(1, "0", 0.0, (), "127.0.0.1:1", *(tmp_path,) * 4)  # of another container: its first
    runtime.write(replace(stale, data_dir=tmp_path / "data"))
    last = make_process(provider, settings, tmp_path)
    assert (await ask(last, chat(prompt))).status == 200
    assert last.admin("/readyz") == (200, "ready\n")
    assert last.stop() == 0


async def test_killed_in_mid_stream_the_client_sees_a_break_and_the_ledger_stays_whole(
    make_process: MakeProxy, provider: Providers, prompt: str, tmp_path: Path
) -> None:
    """What happens to one whose memory is full."""
    settings = pod(tmp_path)
    provider.options = replace(provider.options, events=5000, interval_s=0.01)
    first = make_process(provider, settings, tmp_path)
    streams = [await begin(first, chat(f"{prompt} {number}", stream=True)) for number in range(5)]
    for number in range(20):
        assert (await ask(first, chat(f"{prompt} small {number}", max_tokens=1))).status == 200
    first.process.popen.kill()
    for stream in streams:
        with contextlib.suppress(ConnectionResetError):
            assert not (await stream.read_all()).endswith(b"0\r\n\r\n")  # the end of a chunked body
        stream.abort()
    await asyncio.to_thread(stopped_within, first.process)
    second = make_process(provider, settings, tmp_path)
    assert (await ask(second, chat(f"{prompt} after", max_tokens=1))).status == 200
    second.settled(1, status=200)
    assert second.stop() == 0
    assert second.events("ledger_corrupt") == second.events("cache_corrupt") == []
    for name in ("ledger.sqlite", "cache.sqlite"):
        with contextlib.closing(sqlite3.connect(tmp_path / "data" / name)) as database:
            assert database.execute("pragma integrity_check").fetchone() == ("ok",)


@contextlib.contextmanager
def application(proxy: RunningProxy | None, url: str, ca: Path, home: Path) -> Iterator[Client]:
    """An application on the providers' SDK, told of the proxy as a pod's containers are."""
    python = clients_python()
    if python is None:
        pytest.skip("no SDKs: `make clients` installs them")
    told = {"HTTPS_PROXY": url, "SSL_CERT_FILE": str(ca), "HOME": str(home), "PATH": os.environ["PATH"], **KEYS}
    with Client([str(python), str(SCRIPTS / "openai_restarts.py")], told, home / "application.log") as client:
        yield client


async def test_an_application_works_before_during_and_after_a_restart(
    make_proxy: MakeProxy, provider: Providers, tmp_path: Path, zygote: Zygote
) -> None:
    """One that came first is refused until the proxy is there, and needs no restart of its own. A restart is shorter
    than the SDK's own retries last, so no call fails."""
    settings = pod(tmp_path)
    first = make_proxy(provider, settings, tmp_path)
    first.process.popen.kill()
    stopped_within(first.process)
    with application(None, f"http://127.0.0.1:{port_of(settings)}", first.runtime.bundle, tmp_path) as app:
        refused = await asyncio.to_thread(app.ask, "refused")
        assert isinstance(refused, dict)
        assert refused["error"] == "APIConnectionError"
        assert refused["gave_up_after_s"] >= RETRIES_LAST_S - 0.1
        proxy = make_proxy(provider, settings, tmp_path)
        assert await asyncio.to_thread(app.ask, "one") == "chat.completion"
        for _ in range(5):
            calling = asyncio.ensure_future(asyncio.to_thread(app.ask, "for_a_while"))
            await until(lambda proxy=proxy: proxy.stats()["client_connections"] == 1, "it calls")  # type: ignore[misc]
            proxy.process.popen.kill()
            began = time.monotonic()
            await asyncio.to_thread(stopped_within, proxy.process)
            proxy = await asyncio.to_thread(make_proxy, provider, settings, tmp_path)
            gap_s = time.monotonic() - began
            seen = await calling
            if gap_s < RETRIES_LAST_S:
                break
        else:
            pytest.skip("the machine is too busy: no restart was shorter than the retries")
        assert isinstance(seen, dict)
        assert (seen["failures"], seen["calls"] > 3) == ([], True), (seen, gap_s)
        assert await asyncio.to_thread(app.ask, "one") == "chat.completion"


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_full_volume_at_a_restart_costs_the_ledger_and_no_call(
    make_process: MakeProxy, provider: Providers, prompt: str, tmp_path: Path, workers: int
) -> None:
    with tmpfs(tmp_path / "volume", "size=3m") as volume:
        settings = pod(volume, workers=workers)
        assert make_process(provider, settings, tmp_path / "one").stop() == 0
        with (volume / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        with running(command(tmp_path / "one" / "skinflint.yaml"), tmp_path, environment(tmp_path)) as process:
            wait_until(lambda: '"ready"' in process.output, "it is ready", process=process)
            trust_file = volume / "trust" / "skinflint-ca.pem"
            async with await secure(port_of(settings), ssl.create_default_context(cafile=trust_file)) as client:
                client.send(post(chat(prompt)))
                assert (await client.answer()).status == 200
            assert '"ledger_degraded"' in process.output
            assert '"runtime_file_not_written"' in process.output
            assert process.stop() == 0
        assert "Traceback" not in process.output
        assert "worker_failed" not in process.output


def test_a_full_volume_at_the_first_start_is_a_clear_error(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "volume", "size=4k") as volume, started(tmp_path, pod(volume)) as process:
        stopped_within(process)
        assert process.popen.returncode == 1
        assert f"error: {volume}/" in process.output
        assert "No space left on device" in process.output
        assert "Traceback" not in process.output
