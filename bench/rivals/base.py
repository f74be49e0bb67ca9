"""What all rivals have in common: may be missing, are started with a command and files of their own, and stopped.

Rules: as for every contestant (bench/contestants.py): on PROXY_CORE, logging to a file, the upstream's certificate
verified. A rival that is missing or does not start is told of; it never ends a run.
"""

import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from bench.contestants import Upstream
from bench.failures import BenchFailed
from bench.processes import PROXY_CORE, Program
from bench.target import Target

type Work = Literal["hit", "forward", "stream"]

ROOT: Final = Path(__file__).parents[2]
SYSTEM_PATH: Final = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"  # where Debian keeps servers


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start one, and how it is asked then; the target's `pid` is filled in."""

    command: tuple[str, ...]
    target: Target
    is_ready: Callable[[], bool]
    variables: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None


class Rival(ABC):
    """A contestant that may be missing."""

    death_signal = signal.SIGKILL
    caches = True  # whether it answers from memory, where its work is hits

    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self.work: Work = work
        self.ready_s = 0.0  # from its start until it takes calls
        self._program: Program | None = None

    @abstractmethod
    def why_missing(self) -> str | None:
        """Why it cannot take part in this work here; None when it can."""

    @abstractmethod
    def launch(self, upstream: Upstream, directory: Path) -> Launch:
        """Write its files into `directory`, which is its own and empty."""

    def start(self, upstream: Upstream, directory: Path) -> Target:
        """Start, and return once it takes calls. Raises BenchFailed with the reason or the end of its log."""
        try:
            launch = self.launch(upstream, directory)
        except (OSError, LookupError, subprocess.SubprocessError) as exc:
            raise BenchFailed(f"{self.name} could not be set up: {exc}") from exc
        self._program = Program(
            launch.command,
            core=PROXY_CORE,
            log=directory / "log",
            variables=launch.variables,
            user=launch.user,
            death_signal=self.death_signal,
        )
        self.ready_s = self._program.wait_until(launch.is_ready)
        return launch.target.of_process(self._program.pid)

    def stop(self) -> None:
        """Stop, whatever has happened. May be called again."""
        if self._program is not None:
            self._program.stop()
