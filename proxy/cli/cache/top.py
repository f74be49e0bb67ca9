"""`skinflint cache top`: the calls that are made most often, and whether their answers are still there."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from proxy.cli import options
from proxy.cli.cache.asking import Address, Format, Output, admin_of
from proxy.cli.cache.tables import table, usd
from proxy.cli.failures import CommandFailed

_ASKED_AT_ONCE = 1_000


def command(
    *,
    since: Annotated[str, typer.Option(help="90m, 24h, 7d, 2w, or a date.")] = "24h",
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 20,
    admin: Address = None,
    output: Output = Format.TABLE,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """Show the most frequent calls of the ledger: how often, hits, cost, saved, and where they are cached.

    Example: skinflint cache top --since 7d --limit 100
    """
    found = frequent(since, limit, config, data_dir)
    asked = admin_of(admin, config, data_dir)
    held: dict[str, object] = {}
    prints = [str(line["fingerprint"]) for line in found]
    for start in range(0, len(prints), _ASKED_AT_ONCE):
        said = asked.ask("POST", "/v1/cache/held", {"fingerprints": prints[start : start + _ASKED_AT_ONCE]})["held"]
        held |= said if isinstance(said, dict) else {}
    lines = [{**line, "tiers": held.get(str(line["fingerprint"]), [])} for line in found]
    if output is Format.JSON:
        typer.echo(json.dumps(lines, indent=2))
        return
    rows = [
        [
            str(line["fingerprint"])[:16], f"{line['calls']:,}", f"{line['hits']:,}", usd(line["cost_usd"]),
            usd(line["saved_usd"]), f"{line['provider']}/{line['operation']}", str(line["model"]),
            "+".join(map(str, tiers)) if isinstance(tiers := line["tiers"], list) and tiers else "no",
        ]
        for line in lines
    ]  # fmt: skip
    table(("FINGERPRINT", "CALLS", "HITS", "COST", "SAVED", "CALL", "MODEL", "CACHED"), rows)


def frequent(since: str, limit: int, config: "options.Config", data_dir: "options.DataDir") -> list[dict[str, object]]:
    """From the ledger of the settings. Raises CommandFailed."""
    from proxy.ledger.faults import LedgerError  # noqa: PLC0415 - --help must not wait for it
    from proxy.ledger.frequent import most_frequent  # noqa: PLC0415
    from proxy.ledger.location import url_of  # noqa: PLC0415
    from proxy.ledger.report import parse_since  # noqa: PLC0415

    settings = options.settings_loader(config, options.flags(data_dir=data_dir)).load()
    try:
        return most_frequent(url_of(settings), parse_since(since, now=datetime.now(UTC)), limit)
    except ValueError as exc:
        raise CommandFailed(str(exc), status=2) from exc
    except LedgerError as exc:
        raise CommandFailed(str(exc)) from exc
