"""`skinflint doctor`: what would keep a client from being intercepted here, and the one line that mends it.

This is the command and its output. What is looked at is in machine.py, what follows from it in checkup.py; the same for
pods is in pod/.
"""

import json
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli import options
from proxy.cli.failures import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.schema import Settings
    from proxy.cli.checkup import Finding
    from proxy.providers.registry import Registry


class Format(StrEnum):
    """How the findings are shown."""

    TABLE = "table"
    JSON = "json"


def command(
    *,
    output: Annotated[Format, typer.Option("--format")] = Format.TABLE,
    pod: Annotated[
        str | None,
        typer.Option("--pod", metavar="FILE|-", help="Judge the pods of a manifest instead of this machine."),
    ] = None,
    injector_config: Annotated[
        Path | None, typer.Option("--injector-config", metavar="FILE", help="For --pod: the injector's settings.")
    ] = None,
    sidecar: Annotated[
        bool | None,
        typer.Option("--sidecar/--no-sidecar", help="Judge as a pod's sidecar. Default: if the settings are one's."),
    ] = None,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """Look for what would keep programs started in this shell from being intercepted.

    The exit status is 1 when something is broken. Run it where the programs run: in their shell, or in their container;
    of an injected pod in its sidecar, and over its manifest.

    Examples: skinflint doctor
    · skinflint exec -- skinflint doctor --format json
    · kubectl exec POD -c skinflint -- skinflint doctor
    · kubectl get pod POD -o yaml | skinflint doctor --pod -
    """
    from proxy.cli.checkup import Level  # noqa: PLC0415 - --help must not wait for it

    if injector_config is not None and pod is None:
        raise CommandFailed("--injector-config is for --pod", status=2)
    findings = _of_here(config, data_dir, sidecar) if pod is None else _of_pods(pod, injector_config)
    if output is Format.JSON:
        typer.echo(as_json(findings))
    else:
        print_table(findings)
    raise typer.Exit(1 if any(finding.level is Level.FAIL for finding in findings) else 0)


def _of_here(config: Path | None, data_dir: Path | None, as_sidecar: bool | None) -> "list[Finding]":
    from proxy.cli.checkup import check  # noqa: PLC0415 - --help must not wait for it
    from proxy.cli.machine import look  # noqa: PLC0415
    from proxy.cli.pod import sidecar, sidecar_checkup  # noqa: PLC0415
    from proxy.injector.known import exact_hosts  # noqa: PLC0415

    settings = options.settings_loader(config, options.flags(data_dir=data_dir)).load()
    registry = _registry(settings)
    seen = look(settings, registry.hosts(), options.environment(), datetime.now(UTC))
    if sidecar.is_sidecar(settings) if as_sidecar is None else as_sidecar:
        return sidecar_checkup.check(seen, sidecar.look(settings, seen.proxy, seen.trust), exact_hosts(registry))
    return check(seen)


def _of_pods(source: str, injector_config: Path | None) -> "list[Finding]":
    from config.injector import InjectorSettings, load_injector  # noqa: PLC0415 - --help must not wait for it
    from proxy.cli.pod import manifest, manifest_checkup  # noqa: PLC0415
    from proxy.injector.document import MalformedError  # noqa: PLC0415
    from proxy.injector.known import plan_for  # noqa: PLC0415

    settings = InjectorSettings(image="skinflint") if injector_config is None else load_injector(injector_config)
    plan = plan_for(settings, injector_config or Path("--injector-config"))
    found: list[Finding] = []
    try:
        described = manifest.read(_content(source))
        for each in described:
            findings = manifest_checkup.check(each, plan, has_settings=injector_config is not None)
            prefix = f"{each.name}: " if len(described) > 1 else ""
            found += [replace(finding, subject=prefix + finding.subject) for finding in findings]
    except (manifest.ManifestError, MalformedError) as exc:
        raise CommandFailed(f"--pod {source}: {exc}") from exc
    return found


def _content(source: str) -> str:
    from proxy.cli.pod.manifest import MOST_BYTES  # noqa: PLC0415 - --help must not wait for it

    try:
        if source == "-":
            return sys.stdin.read(MOST_BYTES + 1)
        with Path(source).open(encoding="utf-8-sig") as file:
            return file.read(MOST_BYTES + 1)
    except UnicodeDecodeError:
        raise CommandFailed(f"--pod {source}: it is not UTF-8 text") from None
    except OSError as exc:
        raise CommandFailed(f"--pod {source}: it cannot be read: {exc.strerror}") from exc


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


def _registry(settings: "Settings") -> "Registry":
    from proxy.providers.registry import Registry  # noqa: PLC0415 - --help must not wait for it

    try:
        return Registry.from_settings(settings)
    except ValueError as exc:
        raise CommandFailed(str(exc)) from exc
