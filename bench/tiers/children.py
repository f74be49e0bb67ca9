"""Processes that measure stores, and what they leave: started on the proxy's core, one at a time."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from bench.failures import BenchFailed

_ROOT: Final = Path(__file__).parents[2]
_LIMIT_S: Final = 300.0
_TOLD: Final = 2000  # characters of what a failed one said


def found_by[Found](format_: TypeAdapter[Found], module: str, out: Path, arguments: Sequence[str]) -> Found:
    """Run `module`, which writes its figures as JSON to `out`. Raises BenchFailed with the end of what it said."""
    command = [sys.executable, "-m", module, str(out), *arguments]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as failure:
        raise BenchFailed(f"{module} did not end within {_LIMIT_S:.0f} s") from failure
    if done.returncode:
        raise BenchFailed(f"{module} failed:\n{done.stderr.decode(errors='replace')[-_TOLD:]}")
    try:
        return format_.validate_json(out.read_bytes())
    except (OSError, ValidationError) as failure:
        raise BenchFailed(f"{module} left no figures") from failure


def leave(out: Path, figures: bytes) -> None:
    """Called in such a process at its end: whole or not at all."""
    part = out.with_suffix(".part")
    part.write_bytes(figures)
    part.replace(out)
