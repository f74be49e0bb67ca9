"""Who takes part. A contestant is started for a section, listens on loopback, and is stopped after it.

Rules: every proxy runs on PROXY_CORE alone, logs to a file, reaches the upstream in place of api.openai.com and
verifies its certificate. To add one: a name, start and stop, as Contestant has them.
"""

import json
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from bench.failures import BenchFailed
from bench.processes import LOAD_CORE, PROXY_CORE, Program
from bench.target import Target
from bench.work import HOST
from proxy.demo.certificates import Certificates, make_certificates

_BIN: Final = Path(sys.executable).parent
_ADDON: Final = Path(__file__).with_name("mitmdump_addon.py")
_ROOT: Final = Path(__file__).parents[1]
NO_CACHE: Final = ("cache.enabled=false", "collapse.enabled=false")


class Upstream:
    """The upstream's process. Leaving it stops it."""

    def __init__(self, directory: Path) -> None:
        self.certificates: Certificates = make_certificates(directory)
        ready = directory / "upstream.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "bench.upstream", "--cert", str(self.certificates.cert)]
        command += ["--key", str(self.certificates.key), "--ready-file", str(ready)]
        variables = {"PYTHONPATH": str(_ROOT)}
        self._program = Program(command, core=LOAD_CORE, log=directory / "upstream.log", variables=variables)
        self._program.wait_until(ready.exists)
        ports = json.loads(ready.read_text())
        self.port: int = ports["port"]
        self.pace: tuple[str, int] = ("127.0.0.1", ports["pace"])  # lets events of streams without an interval go
        self._control: int = ports["control"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._program.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._program.pid

    def counters(self) -> dict[str, int]:
        """What came in so far: the members of bench.upstream.Counters."""
        with socket.create_connection(("127.0.0.1", self._control), timeout=10) as control:
            told = b""
            while data := control.recv(4096):
                told += data
        counters: dict[str, int] = json.loads(told)
        return counters


class Contestant(Protocol):
    """Anything that stands between the clients and the upstream."""

    name: str

    def start(self, upstream: Upstream, directory: Path) -> Target:
        """Start, and return once it takes calls. `directory` is its own, and empty."""
        ...

    def stop(self) -> None:
        """Stop, whatever has happened. May be called again."""
        ...


class Direct:
    """No proxy: what clients and upstream take by themselves."""

    def __init__(self) -> None:
        self.name = "direct"

    def start(self, upstream: Upstream, directory: Path) -> Target:
        return Target(("127.0.0.1", upstream.port), is_proxy=False, ca=upstream.certificates.ca, pid=None)

    def stop(self) -> None:
        return None


@dataclass(slots=True)
class Skinflint:
    """Ourselves, as `skinflint run` is; `settings` are given by --set."""

    name: str = "Skinflint"
    settings: tuple[str, ...] = ()
    log_level: str = "warning"
    cores: frozenset[int] = frozenset({PROXY_CORE})
    ready_s: float = 0.0  # from its start to its first good answer on /readyz
    _program: Program | None = field(default=None, init=False)

    def start(self, upstream: Upstream, directory: Path) -> Target:
        resolve = json.dumps({HOST: f"127.0.0.1:{upstream.port}"})
        port, admin_port = free_ports(2)
        admin = f"127.0.0.1:{admin_port}"
        command = [*self.program(), "run", "--listen", f"127.0.0.1:{port}", "--admin", admin]
        command += ["--data-dir", str(directory / "data"), "--upstream-ca", str(upstream.certificates.ca)]
        for setting in (f"upstream.resolve={resolve}", f"log.level={self.log_level}", *self.settings):
            command += ["--set", setting]
        self._program = Program(command, core=self.cores, log=directory / "log")
        self.ready_s = self._program.wait_until(lambda: listens(port) and _is_ready(admin))
        ca = directory / "data" / "ca" / "skinflint-ca.pem"
        return Target(("127.0.0.1", port), is_proxy=True, ca=ca, pid=self._program.pid, admin=admin)

    def program(self) -> list[str]:
        """What is run; the command and its options follow."""
        return [str(_BIN / "skinflint")]

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()


@dataclass(slots=True)
class Mitmdump:
    """Stock mitmdump with the smallest addon that does the work; `mode` as in bench/mitmdump_addon.py."""

    mode: str
    options: tuple[str, ...] = ()
    name: str = "stock mitmdump"
    ready_s: float = 0.0
    _program: Program | None = field(default=None, init=False)

    def start(self, upstream: Upstream, directory: Path) -> Target:
        (port,) = free_ports(1)
        command = [str(_BIN / "mitmdump"), "-q", "--listen-host", "127.0.0.1", "-p", str(port), "-s", str(_ADDON)]
        settings = [
            f"confdir={directory}",
            f"ssl_verify_upstream_trusted_ca={upstream.certificates.ca}",
            "flow_detail=0",
        ]
        for setting in (*settings, *self.options):
            command += ["--set", setting]
        variables = {
            "BENCH_MODE": self.mode,
            "BENCH_UPSTREAM_PORT": str(upstream.port),
            "PYTHONPATH": str(_ROOT),
        }
        self._program = Program(command, core=PROXY_CORE, log=directory / "log", variables=variables)
        self.ready_s = self._program.wait_until(lambda: listens(port))
        return Target(("127.0.0.1", port), is_proxy=True, ca=directory / "mitmproxy-ca-cert.pem", pid=self._program.pid)

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on at this moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def metric(admin: str, name: str) -> float:
    """The sum of a metric's samples on an operators' listener. Raises BenchFailed when there is none."""
    with urllib.request.urlopen(f"http://{admin}/metrics", timeout=10) as response:
        lines: Sequence[str] = response.read().decode().splitlines()
    samples = [float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} "))]
    if not samples:
        raise BenchFailed(f"no metric {name}")
    return sum(samples)


def hit_share(admin: str) -> float:
    """Skinflint's own count: hits among all calls so far."""
    with urllib.request.urlopen(f"http://{admin}/v1/stats", timeout=10) as response:
        calls: dict[str, float] = json.load(response)["calls"]
    return calls.get("hit", 0) / calls["total"]


def _is_ready(admin: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{admin}/readyz", timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def listens(port: int) -> bool:
    """Whether something takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
