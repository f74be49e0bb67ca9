"""Section: bytes that are no calls to a model, through a CONNECT tunnel."""

import json
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.byte_source import PIECE, order
from bench.contestants import Contestant, Direct, Mitmdump, Skinflint
from bench.failures import BenchFailed
from bench.field import Field, Run
from bench.figures import ratios, spread
from bench.processes import LOAD_CORE, Program, cpu_seconds
from bench.report import Check, Section, Table
from bench.rivals.squid import Squid
from bench.target import Target, open_socket

_MIB: Final = 1024 * 1024
_CPU_RATIO: Final = 0.5
_ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Moved:
    """One round in one direction."""

    mib: float
    seconds: float
    cpu_ms: float  # of the proxy

    @property
    def rate(self) -> float:
        """MiB a second."""
        return self.mib / self.seconds

    @property
    def cpu_per_mib(self) -> float:
        """The proxy's milliseconds for a MiB."""
        return self.cpu_ms / self.mib


def run(run: Run) -> Section:
    """Down and up in alternating rounds."""
    ours, stock = Skinflint(), Mitmdump("tunnel", (r"ignore_hosts=127\.0\.0\.1",))
    squid = [each for each in run.rivals("forward") if isinstance(each, Squid) and not each.is_bumped]
    contestants: list[Contestant] = [Direct(), ours, stock, *squid]
    found: dict[tuple[str, bool], list[Moved]] = {}
    with tempfile.TemporaryDirectory(dir=run.directory) as directory:
        ready = Path(directory) / "ready.json"
        command = [sys.executable, "-m", "bench.byte_source", "--ready-file", str(ready)]
        variables = {"PYTHONPATH": str(_ROOT)}
        with Program(command, core=LOAD_CORE, log=Path(directory) / "log", variables=variables) as source:
            source.wait_until(ready.exists)
            port = int(json.loads(ready.read_text())["port"])
            with run.field(contestants) as field:
                for number in range(run.scale.rounds + 1):  # the first one warms up
                    for entrant in field.entrants:
                        for is_up in (False, True):
                            moved = _move(entrant.target, port, run.scale.seconds / 2, is_up=is_up)
                            if number:
                                found.setdefault((entrant.name, is_up), []).append(moved)
                        run.say(f"round {number}: {entrant.name}: {moved.rate:,.0f} MiB/s up")
    return _section(field, found, ours.name, stock.name)


def _section(field: Field, found: dict[tuple[str, bool], list[Moved]], ours: str, stock: str) -> Section:
    rows: list[tuple[str, ...]] = [(name, "–", reason, "–") for name, reason in field.absent.items()]
    for name in [entrant.name for entrant in field.entrants]:
        for is_up in (False, True):
            rounds = found[name, is_up]
            cpu = spread([each.cpu_per_mib for each in rounds])
            rate = spread([each.rate for each in rounds])
            way = "to the origin" if is_up else "to the client"
            rows.append((name, way, rate.show(0), cpu.show(2) if cpu.most else "–"))
    both = [[each.cpu_per_mib for is_up in (False, True) for each in found[name, is_up]] for name in (ours, stock)]
    ratio = ratios(both[0], both[1])
    return Section(
        name="tunnel",
        title="Tunnels",
        method=(
            "One connection by CONNECT to an address that is no provider, and as many bytes as go through it, in one "
            "direction at a time. Skinflint relays such connections untouched; mitmdump does so with `ignore_hosts`, "
            "squid without ssl-bump. "
            "Client and origin share a core, so that `direct` shows what they can do by themselves."
        ),
        tables=(Table(("", "", "MiB/s", "CPU a MiB, ms"), tuple(rows)),),
        checks=(
            Check(
                f"CPU of a tunnelled MiB: at most {_CPU_RATIO} of stock mitmdump's",
                ratio.show(),
                ratio.median <= _CPU_RATIO,
            ),
        ),
    )


def _move(target: Target, port: int, seconds: float, *, is_up: bool) -> Moved:
    """Bytes through one tunnel for about this long."""
    content, buffer = bytes(PIECE), bytearray(PIECE)
    with _open(target, port) as connection:
        size = 4 * _MIB  # grows until a turn takes long enough to hide the round trip
        total, cpu_before, started = 0, cpu_seconds(target.pid) if target.pid else 0.0, time.perf_counter()
        while (took := time.perf_counter() - started) < seconds or not total:
            connection.sendall(order(-size if is_up else size))
            if is_up:
                for _ in range(size // PIECE):
                    connection.sendall(content)
                _take(connection, 1, buffer)
            else:
                _take(connection, size, buffer)
            total += size
            size = min(size * 2, 64 * _MIB) if took < seconds / 4 else size
        took = time.perf_counter() - started
        cpu = cpu_seconds(target.pid) - cpu_before if target.pid else 0.0
    return Moved(total / _MIB, took, cpu * 1000)


def _take(connection: socket.socket, count: int, buffer: bytearray) -> None:
    while count:
        received = connection.recv_into(buffer, min(count, PIECE))
        if not received:
            raise BenchFailed("a tunnel was closed")
        count -= received


def _open(target: Target, port: int) -> socket.socket:
    """A connection to the byte source, through the proxy if there is one. Raises BenchFailed or OSError."""
    source = f"127.0.0.1:{port}"
    return open_socket(target.address, source) if target.is_proxy else open_socket(("127.0.0.1", port), None)
