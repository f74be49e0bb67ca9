"""On what the run was made: machine, versions, and how quiet it was."""

import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.rivals.choice import versions

_CHANGED: Final = " with changes"
_PACKAGES: Final = ("mitmproxy", "pyreqwest", "uvloop", "h2", "orjson", "cryptography")


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts for the page."""

    at: str
    commit: str
    cpu: str
    cores: int
    system: str
    python: str
    packages: str
    load: str
    rivals: str = ""

    @property
    def is_committed(self) -> bool:
        """Whether `commit` says all that there is to say about the code."""
        return "commit" in self.commit and not self.commit.endswith(_CHANGED)

    def lines(self) -> list[tuple[str, str]]:
        """Name and value, in order."""
        return [
            ("Date", self.at),
            ("Skinflint", self.commit),
            ("Processor", f"{self.cpu}, {self.cores} cores"),
            ("System", self.system),
            ("Python", self.python),
            ("Packages", self.packages),
            ("Rivals", self.rivals or "none but mitmdump"),
            ("Load average before the run", self.load),
        ]


def look() -> Machine:
    """What there is."""
    return Machine(
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=_commit(),
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages=", ".join([f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]),
        rivals=", ".join(versions()),
        load=", ".join([f"{value:.2f}" for value in os.getloadavg()]),
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _commit() -> str:
    version = importlib.metadata.version("skinflint")
    root = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "proxy", "addons", "config", "bench")
        return f"{version}, commit {git('rev-parse', '--short', 'HEAD')}{_CHANGED if changed else ''}"
    except (OSError, subprocess.CalledProcessError):  # installed without its history
        return version
