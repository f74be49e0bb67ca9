"""`skinflint demo`: applications with real SDKs against simulated providers, with and without the proxy."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    python: Annotated[
        Path | None,
        typer.Option(
            "--python", metavar="PATH", help="An interpreter that has the providers' SDKs. Default: this one."
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the demo's directory for a closer look.")] = False,
) -> None:
    """Show what Skinflint does, on this machine and without a key or the internet.

    Examples: skinflint demo
    · skinflint demo --python .venv-clients/bin/python --keep
    """
    from rich.console import Console  # noqa: PLC0415 - --help must not wait for it

    from proxy.demo import run_demo  # noqa: PLC0415

    raise typer.Exit(run_demo(python=python, keep=keep, console=Console()))
