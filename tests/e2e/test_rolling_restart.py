"""Gateways behind a service are replaced one after the other while 500 clients call: nothing is lost."""

import asyncio
import json
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from config.schema import split_address
from proxy.demo.asks import SSE_TYPE, Answer, Call
from tests.conftest import MakeProxy
from tests.e2e.gateway_clients import pieces
from tests.support.background import Providers
from tests.support.processes import environment, module, running
from tests.support.running import RunningProxy
from tests.support.waiting import until

LINGER_S, TIMEOUT_S = 3.0, 20.0


def answer(call: Call) -> Answer:
    """The provider says the prompt again, whole or as a stream of two seconds."""
    asked = orjson.loads(call.body)
    prompt, is_stream = asked["messages"][-1]["content"], asked.get("stream", False)
    kind = SSE_TYPE if is_stream else b"application/json"
    return Answer(pieces(prompt, is_stream=is_stream), headers=[(b"content-type", kind)], streamed=is_stream)


class Gateways:
    """Those of one deployment: they have one certificate authority."""

    def __init__(self, make: MakeProxy, provider: Providers, directory: Path) -> None:
        self._make = make
        self._provider = provider
        self._directory = directory
        self._ca: Path | None = None
        self._backends: dict[str, tuple[int, int]] = {}
        self.all: dict[str, RunningProxy] = {}

    async def start(self, name: str, workers: int) -> RunningProxy:
        """One more, which the service is told of."""
        directory = self._directory / name
        if self._ca is not None:
            shutil.copytree(self._ca, directory / "data" / "ca")
        drain = {"linger_s": LINGER_S, "timeout_s": TIMEOUT_S, "idle_s": 8.0}
        settings = {"workers": workers, "drain": drain, "cache": {"enabled": False}}
        proxy = await asyncio.to_thread(self._make, self._provider, settings, directory)
        self._ca = self._ca or proxy.data_dir / "ca"
        self.all[name] = proxy
        self._backends[name] = (proxy.port(), split_address(proxy.runtime.admin)[1])
        draft = self._directory / "backends.draft"
        draft.write_text(json.dumps(self._backends))
        draft.rename(self._directory / "backends.json")
        return proxy

    async def ended(self, name: str) -> float:
        """Wait for the end of one that was told to; returns how long that took."""
        began = time.monotonic()
        proxy = self.all[name]
        await until(lambda: not proxy.process.is_running(), f"{name} has ended", LINGER_S + TIMEOUT_S + 5)
        return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_rolling_restart_under_500_clients_loses_nothing(
    make_process: MakeProxy, provider: Providers, tmp_path: Path
) -> None:
    provider.script(answer)
    provider.options = replace(provider.options, interval_s=0.08)
    gateways = Gateways(make_process, provider, tmp_path)
    first = await gateways.start("one", workers=1)
    await gateways.start("two", workers=2)
    arguments = [str(tmp_path), str(first.runtime.ca)]
    with running(module("tests.e2e.gateway_clients", *arguments), tmp_path, environment(tmp_path)) as clients:

        def calls() -> int:
            view = tmp_path / "view.json"
            return int(json.loads(view.read_text())["calls"]) if view.exists() else 0

        await until(lambda: calls() > 500, "all clients call", 60)
        for old, new, workers in (("one", "three", 1), ("two", "four", 2)):
            await gateways.start(new, workers)
            before = calls()
            gateways.all[old].process.popen.send_signal(signal.SIGTERM)
            await until(lambda: calls() > before + 200, "calls go on", 60)  # noqa: B023 - asked at once
        for old in ("one", "two"):
            assert await gateways.ended(old) < LINGER_S + TIMEOUT_S
        (tmp_path / "over").touch()
        await until(lambda: not clients.is_running(), "the clients have ended", 60)
        assert clients.popen.returncode == 0, clients.output
        tally = json.loads(clients.output.splitlines()[-1])
    for new in ("three", "four"):
        gateways.all[new].process.popen.send_signal(signal.SIGTERM)  # both at once: they linger
    assert tally["failures"] == []
    assert set(tally["by_backend"]) == {"one", "two", "three", "four"}
    assert min(tally["streams"], tally["http2"]) > 100
    for old in ("one", "two"):
        proxy = gateways.all[old]
        assert (proxy.process.popen.returncode, proxy.events("exchanges_cut_off")) == (0, [])
    rows = {name: len(proxy.settled(tally["by_backend"][name])) for name, proxy in gateways.all.items()}
    assert rows == tally["by_backend"]
