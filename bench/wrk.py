"""wrk, a load generator in C, as a measure for our own: the same calls, the same number of connections, one thread.

Rules: it speaks no CONNECT and compares no answers, so it can only be set on an upstream. Missing, it is told of.
"""

import resource
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.failures import BenchFailed
from bench.processes import LOAD_CORE, pin
from bench.target import Target
from bench.work import PATH, Requests

_BAD: Final = ("Non-2xx", "Socket errors")


@dataclass(frozen=True, slots=True)
class Driven:
    """One round of wrk."""

    rate: float
    cpu_us: float  # wrk's own, a call
    busy: float  # share of its core


def why_missing() -> str | None:
    """Why wrk cannot be used; None when it can."""
    return None if shutil.which("wrk") else "not installed (Debian's package wrk)"


def drive(target: Target, requests: Requests, connections: int, seconds: int, directory: Path) -> Driven:
    """One round, after its connections are made. Raises BenchFailed when wrk saw anything but good answers."""
    head, _, body = requests.make(0).partition(b"\r\n\r\n")
    lines = [f"wrk.method = 'POST'\nwrk.body = [==[{body.decode()}]==]"]
    for line in head.decode().split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        if name != "Content-Length":
            lines.append(f"wrk.headers['{name}'] = '{value}'")
    script = directory / "calls.lua"
    script.write_text("\n".join(lines))
    host, port = target.address
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"https://{host}:{port}{PATH}"]
    before, started = _children_s(), time.perf_counter()
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        preexec_fn=lambda: pin(LOAD_CORE),
    )
    took, cpu = time.perf_counter() - started, _children_s() - before
    return read(done.stdout, cpu, took)


def read(said: str, cpu_s: float, took_s: float) -> Driven:
    """What wrk printed. Raises BenchFailed unless all answers were good."""
    rate = next((float(line.split()[1]) for line in said.splitlines() if line.startswith("Requests/sec:")), 0.0)
    calls = next((int(line.split()[0]) for line in said.splitlines() if " requests in " in line), 0)
    if not calls or any(bad in said for bad in _BAD):
        raise BenchFailed(f"wrk: {said}")
    return Driven(rate, cpu_s / calls * 1e6, cpu_s / took_s)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def version() -> str | None:
    """`wrk 4.1.0`, or None without wrk."""
    if why_missing():
        return None
    said = subprocess.run(["wrk", "-v"], check=False, capture_output=True, text=True).stdout.split()
    return " ".join(said[:2]).replace("debian/", "")
