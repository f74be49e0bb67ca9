"""`skinflint report`: what the calls cost, what was saved, and what could be."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli import options
from proxy.cli.failures import CommandFailed

if TYPE_CHECKING:
    from proxy.ledger.figures import Report


class Format(StrEnum):
    """How the report is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    HTML = "html"


def command(
    *,
    since: Annotated[str, typer.Option(help="90m, 24h, 7d, 2w, or a date such as 2026-01-31.")] = "24h",
    until: Annotated[str | None, typer.Option(help="The same forms. Default: now.")] = None,
    by: Annotated[
        str, typer.Option(help="Groups, with commas: provider, operation, model, outcome, status, day, label:NAME, ...")
    ] = "model",
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="NAME=VALUE", help="Only calls that match; * stands for anything; repeatable."),
    ] = None,
    output_format: Annotated[Format, typer.Option("--format")] = Format.TABLE,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there.")] = None,
    config: options.Config = None,
    data_dir: options.DataDir = None,
    ledger: Annotated[str | None, typer.Option(metavar="URL", help="Default: the ledger of the settings.")] = None,
) -> None:
    """Report on the calls in the ledger. The proxy need not run.

    Examples: skinflint report --since 7d --by model,label:app
    · skinflint report --since 2026-01-01 --format html --output january.html
    """
    from proxy.ledger.faults import LedgerError  # noqa: PLC0415 - --help must not wait for it
    from proxy.ledger.report import build_report, parse_since  # noqa: PLC0415

    now = datetime.now(UTC)
    groups = [name.strip() for name in by.split(",") if name.strip()]
    try:
        report = build_report(
            ledger or _ledger_url(config, data_dir),
            since=parse_since(since, now=now),
            until=None if until is None else parse_since(until, now=now),
            by=groups,
            where=_conditions(where or []),
            now=now,
        )
    except ValueError as exc:
        raise CommandFailed(str(exc), status=2) from exc
    except LedgerError as exc:
        raise CommandFailed(str(exc)) from exc
    _write(report, output_format, output)


def _ledger_url(config: Path | None, data_dir: Path | None) -> str:
    from proxy.ledger.location import url_of  # noqa: PLC0415

    settings = options.settings_loader(config, options.flags(data_dir=data_dir)).load()
    return url_of(settings)


def _conditions(where: list[str]) -> dict[str, str]:
    pairs = [condition.partition("=") for condition in where]
    for name, separator, _ in pairs:
        if not separator:
            raise CommandFailed(f"--where {name}: must be NAME=VALUE, for example --where model=gpt-4*", status=2)
    return {name.strip(): value for name, _, value in pairs}


def _write(report: "Report", output_format: Format, output: Path | None) -> None:
    text = _text(report, output_format)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8", newline="")


def _text(report: "Report", output_format: Format) -> str:
    from proxy.ledger import render_data, render_html, render_table  # noqa: PLC0415

    match output_format:
        case Format.JSON:
            return render_data.to_json(report).decode()
        case Format.CSV:
            return render_data.to_csv(report)
        case Format.HTML:
            return render_html.render_html(report)
        case Format.TABLE:
            from rich.console import Console  # noqa: PLC0415

            console = Console()
            with console.capture() as captured:
                render_table.render_table(report, console)
            return captured.get()
