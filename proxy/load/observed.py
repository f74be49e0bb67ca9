"""What can be seen of processes on this machine while load runs: CPU, and Skinflint's own counters.

Rules: CPU is that of a process with its children; where /proc is missing there is none. Never through a proxy.
"""

import contextlib
import http.client
import os
from pathlib import Path

import orjson

from config.schema import split_address
from proxy.runtime import Runtime, reachable

_TIMEOUT_S = 10.0


def cpu_seconds(pid: int) -> float | None:
    """User and system time so far; None when it cannot be known."""
    ticks, seen = 0, [pid]
    for each in seen:
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            if each == pid:
                return None
            continue
        ticks += int(fields[11]) + int(fields[12])
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                seen += map(int, task.read_text().split())
    return ticks / os.sysconf("SC_CLK_TCK")


def outcomes(proxy: Runtime) -> dict[str, int] | None:
    """Skinflint's calls so far, by outcome; None when its admin listener does not say."""
    try:
        host, port = split_address(reachable(proxy.admin))
        with contextlib.closing(http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)) as connection:
            connection.request("GET", "/v1/stats")
            calls = orjson.loads(connection.getresponse().read())["calls"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    names = ("hit", "collapsed", "miss", "bypass", "refused", "error")
    return {name: int(calls.get(name, 0)) for name in names}
