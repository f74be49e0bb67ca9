"""`skinflint doctor`: what would keep a client from being intercepted here, and the one line that mends it.

This is the command and its output. What is looked at is in machine.py, what follows from it in checkup.py.
"""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli import options
from proxy.cli.failures import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.schema import Settings
    from proxy.cli.checkup import Finding


class Format(StrEnum):
    """How the findings are shown."""

    TABLE = "table"
    JSON = "json"


def command(
    output: Annotated[Format, typer.Option("--format")] = Format.TABLE,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """Look for what would keep programs started in this shell from being intercepted.

    The exit status is 1 when something is broken. Run it where the programs run: in their shell, or in their container.

    Examples: skinflint doctor
    · skinflint exec -- skinflint doctor --format json
    """
    from proxy.cli.checkup import Level, check  # noqa: PLC0415 - --help must not wait for it
    from proxy.cli.machine import look  # noqa: PLC0415

    settings = options.settings_loader(config, options.flags(data_dir=data_dir)).load()
    findings = check(look(settings, _hosts(settings), options.environment(), datetime.now(UTC)))
    if output is Format.JSON:
        typer.echo(as_json(findings))
    else:
        print_table(findings)
    raise typer.Exit(1 if any(finding.level is Level.FAIL for finding in findings) else 0)


def as_json(findings: "Sequence[Finding]") -> str:
    """One object a finding, in a list."""
    return json.dumps([asdict(finding) for finding in findings], indent=2)


def print_table(findings: "Sequence[Finding]") -> None:
    """The findings for a person, worst first within the order of the checks."""
    from rich.console import Console  # noqa: PLC0415 - --help must not wait for it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    colours = {"ok": "green", "note": "cyan", "warn": "yellow", "fail": "bold red"}
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for finding in findings:
        said = Text(finding.message)
        if finding.fix:
            said.append(f"\n→ {finding.fix}", style="dim")
        table.add_row(Text(finding.level.value, style=colours[finding.level.value]), finding.subject, said)
    Console().print(table)


def _hosts(settings: "Settings") -> tuple[str, ...]:
    from proxy.providers.registry import Registry  # noqa: PLC0415 - --help must not wait for it

    try:
        return Registry.from_settings(settings).hosts()
    except ValueError as exc:
        raise CommandFailed(str(exc)) from exc
