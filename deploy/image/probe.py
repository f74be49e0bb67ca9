"""Runs in the image, as its user: how large it is, and how long a proxy takes to be ready. Prints JSON.

Starts alternate between compiled modules and none, each from an empty data directory, with keys and CA to be made.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_ROUNDS = 7
_OUTSIDE = ("proc", "sys", "dev", "run", "tmp")


def size() -> int:
    """Bytes of all files of the image."""
    total = 0
    for top in Path("/").iterdir():
        if top.name not in _OUTSIDE and not top.is_symlink():
            for place, _, names in top.walk():
                total += sum((place / name).lstat().st_size for name in names)
    return total


def start(variables: dict[str, str]) -> tuple[float, float]:
    """Milliseconds until ready, and MiB that are the process's own then, shared pages by their share."""
    with tempfile.TemporaryDirectory(dir=os.environ["SKINFLINT_DATA_DIR"]) as folder:
        environ = {**os.environ, **variables, "SKINFLINT_DATA_DIR": folder}
        command = ["skinflint", "run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        began = time.monotonic()
        process = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            while not Path(folder, "runtime.json").exists():
                if process.poll() is not None or time.monotonic() - began > 60:
                    sys.exit("the proxy did not start")
                time.sleep(0.002)
            took_ms = (time.monotonic() - began) * 1000
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
            kib = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
            return took_ms, kib / 1024
        finally:
            process.terminate()
            process.wait()


def main() -> None:
    """Measure, and say so."""
    compiled, plain = [], []
    for _ in range(_ROUNDS):
        compiled.append(start({}))
        plain.append(start({"PYTHONPYCACHEPREFIX": "/nowhere"}))
    figures = {
        "bytes": size(),
        "ready_ms": statistics.median(took_ms for took_ms, _ in compiled),
        "ready_uncompiled_ms": statistics.median(took_ms for took_ms, _ in plain),
        "pss_mib": statistics.median(mib for _, mib in compiled),
    }
    print(json.dumps(figures))


main()
