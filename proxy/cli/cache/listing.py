"""`skinflint cache ls`: what is in memory and on disk, without a word of what was asked or answered."""

import json
from typing import Annotated
from urllib.parse import urlencode

import typer

from proxy.cli import options
from proxy.cli.cache.asking import Address, Admin, Format, Output, admin_of
from proxy.cli.cache.tables import duration, table, usd

_PAGE = 500


def command(
    *,
    tier: Annotated[str | None, typer.Option(help="memory (shared, with several workers) or disk.")] = None,
    provider: Annotated[str | None, typer.Option()] = None,
    operation: Annotated[str | None, typer.Option()] = None,
    model: Annotated[str | None, typer.Option(metavar="GLOB")] = None,
    namespace: Annotated[str | None, typer.Option(metavar="GLOB")] = None,
    tag: Annotated[str | None, typer.Option()] = None,
    label: Annotated[str | None, typer.Option(metavar="NAME=VALUE")] = None,
    credential: Annotated[str | None, typer.Option(metavar="DIGEST", help="12 digits, as it is listed.")] = None,
    state: Annotated[str | None, typer.Option(help="fresh, expired, invalidated, broken or locked.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    admin: Address = None,
    output: Output = Format.TABLE,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """List cached answers, in the order of their fingerprints.

    Example: skinflint cache ls --model 'gpt-4*' --limit 200
    """
    given = {
        "tier": tier, "provider": provider, "operation": operation, "model": model, "namespace": namespace,
        "tag": tag, "label": label, "credential": credential, "state": state,
    }  # fmt: skip
    wanted = {name: value for name, value in given.items() if value is not None}
    lines = _listed(admin_of(admin, config, data_dir), wanted, limit)
    if output is Format.JSON:
        typer.echo(json.dumps(lines, indent=2))
        return
    columns = ("FINGERPRINT", "TIERS", "STATE", "CALL", "MODEL", "NAMESPACE", "TAGS", "SIZE", "AGE", "TTL LEFT", "COST")
    table(columns, [_row(line) for line in lines])


def _listed(admin: Admin, wanted: dict[str, str], limit: int) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    after: object = ""
    while after is not None and len(lines) < limit:
        query = urlencode({**wanted, "after": str(after), "limit": min(_PAGE, limit - len(lines))})
        said = admin.ask("GET", f"/v1/cache/entries?{query}")
        entries, after = said.get("entries"), said.get("after")
        if isinstance(entries, list):
            lines += entries
    return lines


def _row(line: dict[str, object]) -> list[str]:
    return [
        str(line["fingerprint"])[:16],
        "+".join(map(str, _items(line["tiers"]))),
        str(line["state"]),
        f"{line.get('provider', '?')}/{line.get('operation', '?')}",
        str(line.get("model", "")),
        str(line.get("namespace", "")),
        ",".join(map(str, _items(line.get("tags")))),
        f"{line['size']:,}",
        duration(line.get("age_s")),
        duration(line.get("ttl_left_s")),
        usd(line.get("cost_usd")),
    ]


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []
