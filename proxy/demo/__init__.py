"""The provider simulator, and the demo that runs real SDKs through a real proxy against it."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def run_demo(*, python: Path | None, keep: bool, console: "Console") -> int:
    """See `proxy.demo.run.run_demo`."""
    from proxy.demo import run  # noqa: PLC0415 - the simulator's process must not wait for the ledger and Rich

    return run.run_demo(python=python, keep=keep, console=console)
