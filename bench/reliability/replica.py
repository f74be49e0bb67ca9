"""One `skinflint run`, that can be killed and started again where it was.

Rules: it keeps its port and its data; what it logs is read from a file. Everything here blocks but `trust`.
"""

import json
import os
import signal
import ssl
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.failures import BenchFailed
from bench.processes import Program
from proxy import runtime
from proxy.exchange.provider import Json

_ROOT: Final = Path(__file__).parents[2]
_ALL_CORES: Final = frozenset(range(os.cpu_count() or 1))
_READY_S: Final = 60.0
_ADMIN_S: Final = 10.0
_POLL_S: Final = 0.02


class Replica:
    """`settings` hold its port. Leaving it stops it."""

    def __init__(self, name: str, directory: Path, port: int, settings: Mapping[str, object]) -> None:
        """Start it and wait until it is ready. Raises BenchFailed."""
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.directory = directory
        self.port = port
        self._log = directory / "proxy.log"
        self._config = directory / "skinflint.yaml"
        self._data_dir = directory / "data"
        self._settings = settings
        self._down: list[tuple[float, float]] = []  # from when to when it was gone, on purpose
        self._context: ssl.SSLContext | None = None
        self._program: Program
        self._runtime: runtime.Runtime
        self.start()

    def __enter__(self) -> "Replica":
        return self

    def __exit__(self, *_: object) -> None:
        self._program.stop()

    def start(self) -> None:
        """Run it, and wait until it is ready. Raises BenchFailed."""
        own: dict[str, object] = {
            "data_dir": str(self._data_dir),
            "listeners": [{"address": f"127.0.0.1:{self.port}", "mode": "regular"}],
            "admin": {"address": "127.0.0.1:0"},
            "log": {"format": "json"},
            "ledger": {"flush_s": 0.2},
        }
        self._config.write_text(json.dumps({**own, **self._settings}))
        command = [sys.executable, "-P", "-m", "proxy", "run", "--config", str(self._config)]
        self._program = Program(command, core=_ALL_CORES, log=self._log, variables={"PYTHONPATH": str(_ROOT)})
        self._program.wait_until(self._is_ready, _READY_S)
        if self._down and self._down[-1][1] == float("inf"):
            self._down[-1] = (self._down[-1][0], time.monotonic())

    def _is_ready(self) -> bool:
        ready = runtime.read(self._data_dir)
        if ready is None or ready.pid != self._program.pid:
            return False
        self._runtime = ready
        return True

    def kill(self) -> None:
        """kill -9."""
        self._down.append((time.monotonic(), float("inf")))
        os.kill(self._program.pid, signal.SIGKILL)
        self._program.stop()

    def stop(self) -> None:
        """In good order; calls that come meanwhile are refused."""
        self._down.append((time.monotonic(), float("inf")))
        self._program.stop()

    def was_down(self, begin: float, end: float) -> bool:
        """It was gone, on purpose, at some moment between these two."""
        return any(begin <= until and since <= end for since, until in self._down)

    def trust(self) -> ssl.SSLContext:
        """Its clients' TLS."""
        if self._context is None:
            self._context = ssl.create_default_context(cafile=str(self._runtime.ca))
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context

    @property
    def data_dir(self) -> Path:
        """What it keeps."""
        return self._data_dir

    def tier(self, name: str) -> Json:
        """What /v1/stats says of a tier of the cache. Raises BenchFailed."""
        try:
            with urllib.request.urlopen(f"http://{self._runtime.admin}/v1/stats", timeout=_ADMIN_S) as response:
                stats = json.load(response)
        except OSError as failure:
            raise BenchFailed(f"{self.name} does not say how it is: {failure}") from failure
        return dict(stats["cache"]["tiers"][name])

    def log_size(self) -> int:
        """How much it has logged."""
        return self._log.stat().st_size

    def logged(self, since: int) -> dict[str, int]:
        """Events that it has logged since its log was so large, and how often; without the calls'."""
        with self._log.open("rb") as file:
            file.seek(since)
            lines = file.read().splitlines()
        events: Counter[str] = Counter()
        for line in lines:
            try:
                event = str(json.loads(line)["event"])
            except (ValueError, KeyError, TypeError):
                event = "(not a log line)"
            if event != "call":
                events[event] += 1
        return dict(events)
