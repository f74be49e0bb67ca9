"""bench/budget.json: the counts that are allowed, and for what they were counted.

Rules: counts of another Python, build, processor family, valgrind or package are not comparable, so a check there is
skipped with the reason; beyond TOLERANCE either way it fails, so that a gain is written down and kept.
"""

import json
import platform
import re
import sqlite3
import ssl
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import requires, version
from pathlib import Path
from typing import Final

from bench.failures import BenchFailed

PATH: Final = Path(__file__).parents[1] / "budget.json"
TOLERANCE: Final = 0.05
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Record:
    """What a count holds for, and the instructions of one hit, one forward, one event."""

    python: str
    build: str
    machine: str
    libraries: str
    valgrind: str
    packages: dict[str, str]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """One count beside its budget."""

    name: str
    counted: int
    budget: int

    @property
    def change(self) -> float:
        """As a share of the budget; above 0 is dearer."""
        return self.counted / self.budget - 1

    @property
    def verdict(self) -> str:
        """Empty when it is within the tolerance."""
        if abs(self.counted - self.budget) <= TOLERANCE * self.budget:
            return ""
        return "dearer than its budget" if self.change > 0 else "a gain: write it down"


def here(counts: Mapping[str, int]) -> Record:
    """A record of these counts for this interpreter and machine."""
    told = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    names = [found[0] for each in requires("skinflint") or [] if (found := _NAME.match(each))]
    return Record(
        python=platform.python_version(),
        build=f"{platform.python_compiler()}, {_build()}",
        machine=platform.machine(),
        libraries=f"{' '.join(platform.libc_ver())}, {ssl.OPENSSL_VERSION}, SQLite {sqlite3.sqlite_version}",
        valgrind=told.strip().removeprefix("valgrind-"),
        packages={name: version(name) for name in sorted(names)},
        counts=dict(counts),
    )


def _build() -> str:
    """What of CPython's configuration changes how many instructions it takes."""
    flags = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    return "optimized" if "--enable-optimizations" in flags else "not optimized"


def load(path: Path = PATH) -> Record:
    """The record that is kept. Raises BenchFailed when it cannot be read."""
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as failure:
        raise BenchFailed(f"{path} cannot be read ({failure}); `python -m bench.budget --write` makes it") from failure


def store(record: Record, path: Path = PATH) -> None:
    """Keep it."""
    path.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")


def differences(kept: Record, now: Record) -> list[str]:
    """Why counts made now cannot be compared with those that are kept; empty when they can."""
    found = []
    for name in ("python", "build", "machine", "libraries", "valgrind"):
        then, today = getattr(kept, name), getattr(now, name)
        if then != today:
            found.append(f"{name}: {then} in the record, {today} here")
    for name in sorted({*kept.packages, *now.packages}):
        then, today = kept.packages.get(name, "none"), now.packages.get(name, "none")
        if then != today:
            found.append(f"{name}: {then} in the record, {today} here")
    return found


def compare(kept: Record, counts: Mapping[str, int]) -> list[Line]:
    """A line for each count. Raises BenchFailed for one that has no budget."""
    if missing := sorted(set(counts) - set(kept.counts)):
        raise BenchFailed(f"no budget for {', '.join(missing)}; `python -m bench.budget --write` stores one")
    return [Line(name, counted, kept.counts[name]) for name, counted in counts.items()]
