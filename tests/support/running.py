"""A real `skinflint run` for tests: started with settings of its own, asked what it did, and always stopped.

Rules: every listener takes a free port; the ledger is written at once; the environment holds nothing of the
developer's. Everything that is asked here is asked from outside: over the admin listener, the ledger's file, the log.
"""

import contextlib
import http.client
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from config.schema import split_address
from proxy import runtime
from proxy.exchange.provider import Json
from proxy.runtime import Runtime
from tests.support.processes import DEADLINE_S, RunningProcess, environment, module, running, wait_until
from tests.support.zygote import Zygote, forked

type Row = dict[str, object]

_SAMPLE = re.compile(r"(?P<name>[a-z_]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of /metrics."""

    name: str
    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class RunningProxy:
    """A proxy that is ready."""

    process: RunningProcess
    runtime: Runtime
    directory: Path
    config: Path
    since: str = ""  # only the ledger's rows after this one are looked at

    def from_now_on(self) -> "RunningProxy":
        """The same proxy, without the rows of the calls so far."""

        def is_quiet() -> bool:
            stats = self.stats()
            ledger = stats["ledger"]
            return stats["exchanges_in_flight"] == 0 and isinstance(ledger, dict) and ledger["queued"] == 0

        wait_until(is_quiet, "earlier calls are settled", process=self.process)
        return replace(self, since=str(max((row["id"] for row in self.rows()), default="")))  # type: ignore[type-var]

    @property
    def data_dir(self) -> Path:
        """Where it keeps things."""
        return self.runtime.data_dir

    @property
    def url(self) -> str:
        """For clients that use a proxy."""
        url = self.runtime.proxy_url
        assert url is not None
        return url

    def port(self, mode: str = "regular") -> int:
        """The port of its first listener of this mode."""
        address = next(each.address for each in self.runtime.listeners if each.mode == mode)
        return split_address(address)[1]

    def trust(self) -> ssl.SSLContext:
        """A client's context that trusts its CA alone."""
        return ssl.create_default_context(cafile=str(self.runtime.ca))

    def admin(self, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
        """Status and text of an answer of the admin listener, to whoever has the token."""
        host, port = split_address(self.runtime.admin)
        fields = {"Authorization": f"Bearer {(self.data_dir / 'admin.token').read_text().strip()}"}
        with contextlib.closing(http.client.HTTPConnection(host, port, timeout=20)) as connection:
            connection.request(method, path, body, fields)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def stats(self) -> Json:
        """The body of /v1/stats."""
        value = orjson.loads(self.admin("/v1/stats")[1])
        assert isinstance(value, dict)
        return value

    def samples(self, name: str) -> list[Sample]:
        """All samples of a metric, as `total`s of counters and the like are named in /metrics."""
        lines = self.admin("/metrics")[1].splitlines()
        found = [match for line in lines if (match := _SAMPLE.fullmatch(line)) and match["name"] == name]
        return [Sample(name, dict(_LABEL.findall(match["labels"] or "")), float(match["value"])) for match in found]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        return sum(each.value for each in self.samples(name) if labels.items() <= each.labels.items())

    def rows(self, **equal: object) -> list[Row]:
        """The ledger's rows, oldest first, whose columns equal what is given."""
        path = self.data_dir / "ledger.sqlite"
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
            database.row_factory = sqlite3.Row
            try:
                found = [
                    dict(row) for row in database.execute("SELECT * FROM calls WHERE id > ? ORDER BY id", [self.since])
                ]
            except sqlite3.OperationalError:  # there is no table yet
                return []
        return [row for row in found if all(row[key] == value for key, value in equal.items())]

    def settled(self, count: int, **equal: object) -> list[Row]:
        """The same, once there are at least `count` of them."""
        wait_until(
            lambda: len(self.rows(**equal)) >= count,
            f"the ledger has {count} rows with {equal}; it has {self.rows()}",
            process=self.process,
            deadline_s=20,
        )
        return self.rows(**equal)

    def events(self, name: str) -> list[Json]:
        """What it has logged under this name."""
        lines = [line for line in self.process.output.splitlines() if line.startswith("{")]
        return [event for event in map(orjson.loads, lines) if event.get("event") == name]

    def logged(self, name: str, count: int = 1) -> list[Json]:
        """The same, once there are at least `count` of them."""
        wait_until(lambda: len(self.events(name)) >= count, f"{name} is logged", process=self.process, deadline_s=20)
        return self.events(name)

    def reload(self) -> None:
        """SIGHUP."""
        self.process.popen.send_signal(signal.SIGHUP)

    def stop(self) -> int:
        """SIGTERM; returns its exit status."""
        return self.process.stop()


def merged(base: Mapping[str, object], more: Mapping[str, object]) -> dict[str, object]:
    """Settings with others laid over them."""
    result = dict(base)
    for key, value in more.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


BASE: Mapping[str, object] = {
    "listeners": [{"address": "127.0.0.1:0", "mode": "regular"}],
    "admin": {"address": "127.0.0.1:0"},
    "log": {"format": "json"},
    "ledger": {"flush_s": 0.05},
    "drain": {"linger_s": 0, "timeout_s": 5, "idle_s": 1},
}


def command(config: Path) -> list[str]:
    """`skinflint run` with these settings."""
    return module("proxy", "run", "--config", str(config))


def write_settings(directory: Path, settings: Mapping[str, object]) -> Path:
    """The settings file of a proxy in this directory. JSON is YAML."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "skinflint.yaml"
    data_dir: Mapping[str, object] = {"data_dir": str(directory / "data")}
    config.write_bytes(orjson.dumps(merged(merged(BASE, data_dir), settings)))
    return config


def wait_ready(process: RunningProcess, data_dir: Path) -> Runtime:
    """Wait until a proxy that was started says where it is."""
    found: list[Runtime] = []

    def is_ready() -> bool:
        ready = runtime.read(data_dir)
        if ready is not None and ready.pid == process.popen.pid:
            found.append(ready)
        return bool(found)

    wait_until(is_ready, "the proxy is ready", process=process)
    return found[0]


@contextlib.contextmanager
def running_proxy(
    directory: Path,
    settings: Mapping[str, object] | None = None,
    *,
    prefix: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    zygote: Zygote | None = None,
) -> Iterator[RunningProxy]:
    """Run until the block is left. `prefix` stands before the command, for namespaces and the like; `zygote` forks it,
    which saves most of a start's time."""
    config = write_settings(directory, settings or {})
    parsed = orjson.loads(config.read_bytes())
    variables = environment(directory, **(environ or {}))
    if zygote is not None:
        running_it = forked(zygote, ["run", "--config", str(config)], directory, variables)
    else:
        running_it = running([*prefix, *command(config)], directory, variables)
    with running_it as process:
        ready = wait_ready(process, Path(parsed["data_dir"]))
        yield RunningProxy(process, ready, directory, config)


def stopped_within(process: RunningProcess, deadline_s: float = DEADLINE_S) -> float:
    """Wait for its end without asking for it; returns how many seconds that took."""
    started = time.monotonic()
    wait_until(lambda: not process.is_running(), "the process has ended", deadline_s=deadline_s)
    return time.monotonic() - started


def accepts(port: int) -> bool:
    """Something on this machine takes connections at that port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def held_by_a_lifeline(directory: Path, settings: Mapping[str, object]) -> Iterator[subprocess.Popen[bytes]]:
    """A proxy that is ready, and ends when its standard input does. What is left of it at the end is killed."""
    process = subprocess.Popen(
        [*command(write_settings(directory, settings)), "--lifeline"],
        cwd=directory,
        env=environment(directory),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: runtime.read(directory / "data") is not None, "it is ready")
        yield process
    finally:
        process.kill()
        process.wait()
