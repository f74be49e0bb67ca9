"""The processes of a soak: simulated providers, `skinflint run` in front of them, and a server behind tunnels.

Rules: everything listens on loopback and is stopped when the scene is left. The proxy's limits are tight, so that
evictions, deadlines and relayed bodies happen all the time; its settings change by file and SIGHUP, upstream's too.
"""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.failures import BenchFailed
from bench.soak.samples import Stats, read_stats
from proxy import runtime
from proxy.children import end_process
from proxy.demo.dialects import HOSTS
from proxy.demo.process import SimulatorProcess
from proxy.exchange.provider import Json
from proxy.runtime import Runtime

_READY_S: Final = 60.0
_STOP_S: Final = 30.0
_SETTLED_S: Final = 90.0
_POLL_S: Final = 0.1
_CACHE_BYTES: Final = 1024 * 1024
_SIMULATOR: Final = ("--events", "24", "--interval-ms", "2", "--jitter", "0.5")


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that runs."""

    directory: Path
    simulator: SimulatorProcess
    pid: int  # of the proxy
    proxy: Runtime

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self.proxy.listeners[0].address.rpartition(":")[2])

    def trust(self, *protocols: str) -> ssl.SSLContext:
        """Clients' TLS."""
        context = ssl.create_default_context(cafile=str(self.proxy.ca))
        context.set_alpn_protocols(list(protocols))
        return context

    def stats(self) -> Stats:
        """What the proxy says of itself. Raises BenchFailed when it does not."""
        try:
            with urllib.request.urlopen(f"http://{self.proxy.admin}/v1/stats", timeout=30) as response:
                return read_stats(json.load(response))
        except OSError as failure:
            raise BenchFailed(f"the proxy does not say how it is: {failure}; {self.log_end()}") from failure

    def scrape(self) -> None:
        """As a monitoring system does."""
        with urllib.request.urlopen(f"http://{self.proxy.admin}/metrics", timeout=30) as response:
            response.read()

    def clear_cache(self) -> None:
        """As an operator does."""
        url = f"http://{self.proxy.admin}/v1/cache/clear"
        fields = {"Authorization": f"Bearer {(self.proxy.data_dir / 'admin.token').read_text().strip()}"}
        urllib.request.urlopen(urllib.request.Request(url, headers=fields, method="POST"), timeout=30).close()

    def configure(self, variant: int) -> None:
        """Other settings, by SIGHUP. Variant 0 is what the proxy began with; odd ones have another `upstream`, so that
        its connections are replaced."""
        path = self.directory / "skinflint.yaml"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(settings(self.directory, self.simulator, variant)))
        part.replace(path)
        os.kill(self.pid, signal.SIGHUP)

    async def settle(self) -> Stats:
        """Wait until nothing is under way; returns the last look, which shows what still was when time was up."""
        give_up_at = time.monotonic() + _SETTLED_S
        quiet = 0
        while True:
            stats = await asyncio.to_thread(self.stats)
            quiet = quiet + 1 if not stats.under_way() else 0
            if quiet >= 5 or time.monotonic() > give_up_at:
                return stats
            await asyncio.sleep(_POLL_S)

    def recorded(self) -> Counter[str]:
        """The ledger's rows by their label."""
        path = self.proxy.data_dir / "ledger.sqlite"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
            rows = database.execute("SELECT json_extract(labels, '$.app'), count(*) FROM calls GROUP BY 1")
            return Counter({str(label): int(count) for label, count in rows})

    def log_end(self) -> str:
        """The last lines of the proxy's log."""
        return "\n".join((self.directory / "proxy.log").read_text(errors="replace").splitlines()[-15:])

    def errors(self) -> list[str]:
        """The log's lines of level error: each is a bug, whatever the clients and origins did."""
        lines = (self.directory / "proxy.log").read_text(errors="replace").splitlines()
        return [line for line in lines if '"level":"error"' in line.replace(" ", "") or "Traceback" in line]


def settings(directory: Path, simulator: SimulatorProcess, variant: int) -> Json:
    """The proxy's settings; see Scene.configure."""
    return {
        "data_dir": str(directory / "data"),
        "listeners": [{"address": "127.0.0.1:0", "mode": "regular"}],
        "admin": {"address": "127.0.0.1:0"},
        "log": {"format": "json", "level": "warning"},
        "upstream": {
            "resolve": dict.fromkeys(HOSTS, simulator.address),
            "extra_ca": [str(simulator.ca)],
            "first_byte_timeout_s": 4.0,
            "idle_timeout_s": 4.0,
            "keepalive_s": 1.0,
            "retries": 2 - variant % 2,
        },
        "cache": {
            "memory": {"max_bytes": _CACHE_BYTES >> (variant // 2 % 2), "repeats_max_bytes": _CACHE_BYTES},
            "ttl_s": 3600.0 + variant,
        },
        "limits": {"max_request_bytes": 262_144, "client_idle_s": 60.0, "client_head_s": 60.0},
        "ledger": {"flush_s": 0.2},
        "drain": {"timeout_s": 5.0},
    }


@contextlib.contextmanager
def scene(directory: Path) -> Iterator[Scene]:
    """Start everything; stop it when the block is left. Raises BenchFailed or SimulatorFailed."""
    with SimulatorProcess(directory / "simulator", _SIMULATOR) as simulator:
        config = directory / "skinflint.yaml"
        config.write_text(json.dumps(settings(directory, simulator, 0)))
        with (directory / "proxy.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "proxy", "run", "--config", str(config), "--lifeline"],
                stdin=subprocess.PIPE,  # its lifeline: it ends with us, however we end
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
                start_new_session=True,
            )
        try:
            yield Scene(directory, simulator, process.pid, _ready(process, directory))
        finally:
            end_process(process, _STOP_S)


def _ready(process: subprocess.Popen[bytes], directory: Path) -> Runtime:
    """Where it listens, once it does. Raises BenchFailed."""
    give_up_at = time.monotonic() + _READY_S
    while time.monotonic() < give_up_at and process.poll() is None:
        ready = runtime.read(directory / "data")
        if ready is not None and ready.pid == process.pid:
            return ready
        time.sleep(_POLL_S)
    raise BenchFailed(f"the proxy did not start:\n{(directory / 'proxy.log').read_text(errors='replace')[-2000:]}")


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    """Serves what stands behind tunnels, which sends back what it gets; gives its port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
