"""`skinflint cache invalidate`: forget what an option names, in all tiers, workers and replicas."""

import re
import time
from typing import Annotated, Final

import typer

from proxy.cli import options
from proxy.cli.cache.asking import Address, Format, Output, admin_of, show
from proxy.cli.failures import CommandFailed, say_error

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE: Final = re.compile(r"(\d{1,9}(?:\.\d+)?)([smhdw])")


def command(
    *,
    tag: Annotated[str | None, typer.Option(help="Answers to calls that carried this x-skinflint-tag.")] = None,
    model: Annotated[str | None, typer.Option(metavar="GLOB", help="Of these models.")] = None,
    provider: Annotated[str | None, typer.Option(help="Of this provider, as `cache ls` names it.")] = None,
    label: Annotated[str | None, typer.Option(metavar="NAME=VALUE", help="Answers to calls with this label.")] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Received longer ago: 90s, 30m, 24h, 7d.")
    ] = None,
    namespace: Annotated[str | None, typer.Option(metavar="GLOB", help="Of these namespaces.")] = None,
    fingerprint: Annotated[
        str | None, typer.Option(metavar="HEX", help="These, or those that begin so (8 digits).")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    admin: Address = None,
    output: Output = Format.TABLE,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """Forget cached answers, those under way included. Give exactly one option that says which.

    Exit status 1: some store or replica could not be told yet; it is named.

    Examples: skinflint cache invalidate --tag nightly · skinflint cache invalidate --older-than 24h
    · skinflint cache invalidate --model 'gpt-4*'
    """
    given = {
        "tag": tag,
        "model": model,
        "provider": provider,
        "label": label,
        "older_than": None if older_than is None else _moment(older_than, time.time()),
        "namespace": namespace,
        "fingerprint": None if fingerprint is None else fingerprint.lower(),
        "all": "" if everything else None,
    }
    wanted = {kind: value for kind, value in given.items() if value is not None}
    if len(wanted) != 1:
        named = ", ".join(f"--{kind.replace('_', '-')}" for kind in given)
        raise CommandFailed(f"say with exactly one of {named} what to forget", status=2)
    asked = admin_of(admin, config, data_dir)
    status, said = asked.ask_status("POST", "/v1/cache/invalidate", wanted)
    if "stamp" not in said:
        reason = said.get("error", f"it answered {status}")
        raise CommandFailed(f"nothing was invalidated: {reason}", status=2 if status == 400 else 1)
    show(said, output)
    unreached = said.get("unreached")
    if isinstance(unreached, list) and unreached:
        say_error(
            f"not told yet: {', '.join(map(str, unreached))}; this proxy obeys, and tells them when they are back"
        )
        raise typer.Exit(1)


def _moment(age: str, now: float) -> str:
    match = _AGE.fullmatch(age.strip())
    if match is None:
        raise CommandFailed(f"--older-than {age}: must be a number with s, m, h, d or w, for example 24h", status=2)
    return f"{max(0.0, now - float(match[1]) * _UNITS[match[2]]):.3f}"
