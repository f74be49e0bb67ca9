"""`skinflint cache warm`: make sure that answers are there before somebody asks for them."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from proxy.cli import options
from proxy.cli.cache import importing
from proxy.cli.cache.asking import Address, Admin, Format, Output, admin_of, show
from proxy.cli.cache.tables import progress
from proxy.cli.cache.top import frequent
from proxy.cli.failures import CommandFailed

if TYPE_CHECKING:
    from proxy.load.warming import WarmRequest, Way
    from proxy.runtime import Runtime

_PROMOTED_AT_ONCE: Final = 200

File = Annotated[
    Path | None, typer.Argument(metavar="FILE.jsonl", exists=True, dir_okay=False, help="Requests, one a line.")
]
Header = Annotated[
    list[str] | None, typer.Option("--header", metavar="NAME:VALUE", help="A field of each request; repeatable.")
]
HeaderVariable = Annotated[
    list[str] | None,
    typer.Option("--header-env", metavar="NAME:VARIABLE", help="The same, its value from the environment; repeatable."),
]


def command(
    file: File = None,
    *,
    from_ledger: Annotated[
        bool, typer.Option("--from-ledger", help="The most frequent calls, from slower tiers.")
    ] = False,
    exported: Annotated[
        Path | None, typer.Option("--from", metavar="EXPORT", exists=True, dir_okay=False, help="As `cache import`.")
    ] = None,
    since: Annotated[str, typer.Option(help="For --from-ledger: 24h, 7d, a date.")] = "7d",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="For --from-ledger: so many calls.")] = 1000,
    base_url: Annotated[str | None, typer.Option(metavar="URL", help="For urls that are only a path.")] = None,
    header: Header = None,
    header_env: HeaderVariable = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            allow_dash=True,
            help="TOKEN or TENANT:TOKEN, where the proxy demands one; - for standard input.",
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256)] = 8,
    budget_usd: Annotated[float | None, typer.Option(min=0, help="Stop before this is spent.")] = None,
    max_calls: Annotated[int | None, typer.Option(min=1, help="Send at most so many.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Really ask origins that are not this machine.")] = False,
    admin: Address = None,
    output: Output = Format.TABLE,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """Fill the cache: from a file of requests, which are sent through the running proxy; from the ledger's most
    frequent calls; or from another cache's export.

    A line is {"method", "url", "headers", "body"}, or one of OpenAI's batch files (with --base-url).

    Examples: skinflint cache warm asks.jsonl --budget-usd 2 --yes · skinflint cache warm --from-ledger --since 7d
    """
    if [file is not None, from_ledger, exported is not None].count(True) != 1:
        raise CommandFailed(
            "say with exactly one of FILE.jsonl, --from-ledger and --from what to fill it with", status=2
        )
    if exported is not None:
        importing.take(exported, admin, config, data_dir, output)
    elif from_ledger:
        prints = [str(line["fingerprint"]) for line in frequent(since, limit, config, data_dir)]
        _promote(prints, admin_of(admin, config, data_dir), output)
    elif file is not None:
        requests = _read(file, base_url, _fields(header, header_env))[:max_calls]
        _confirm(requests, budget_usd, yes=yes)
        way = _way(options.running_proxy(config, data_dir), token_file)
        _send(requests, way, concurrency, budget_usd, output)


def _promote(prints: list[str], asked: Admin, output: Format) -> None:
    counts = {"promoted": 0, "already": 0, "gone": 0}
    with progress("Promoted", len(prints)) as advance:
        for start in range(0, len(prints), _PROMOTED_AT_ONCE):
            part = prints[start : start + _PROMOTED_AT_ONCE]
            said = asked.ask("POST", "/v1/cache/promote", {"fingerprints": part})
            for name in counts:
                counts[name] += int(str(said.get(name, 0)))
            advance(len(part))
    show(counts, output)


def _fields(header: list[str] | None, header_env: list[str] | None) -> dict[str, str]:
    fields: dict[str, str] = {}
    for each in header or ():
        name, colon, value = each.partition(":")
        if not colon or not name.strip() or "\n" in each or "\r" in each:
            raise CommandFailed("--header must be NAME:VALUE", status=2)  # it may hold a key: never repeated
        fields[name.strip()] = value.strip()
    for each in header_env or ():
        name, colon, variable = each.partition(":")
        value = options.environment().get(variable.strip(), "")
        if not colon or not value:
            raise CommandFailed(f"--header-env {each}: must be NAME:VARIABLE, of a variable that is set", status=2)
        fields[name.strip()] = value
    return fields


def _confirm(requests: "list[WarmRequest]", budget_usd: float | None, *, yes: bool) -> None:
    """Nothing is spent by accident."""
    strangers = sorted({each.origin.authority for each in requests if not each.origin.is_ours})
    if strangers and not yes:
        bound = "no bound" if budget_usd is None else f"a bound of ${budget_usd:g}"
        raise CommandFailed(
            f"this would send {len(requests):,} calls to {', '.join(strangers)}, which may charge for each of them, "
            f"with {bound} on what is spent; add --yes if that is meant",
            status=2,
        )


def _way(running: "Runtime", token_file: Path | None) -> "Way":
    from proxy.load.destination import proxy_address  # noqa: PLC0415 - --help must not wait for it
    from proxy.load.warming import Way, authorization  # noqa: PLC0415

    if running.proxy_url is None:
        raise CommandFailed("no listener of the running proxy has the mode `regular`: there is no way to send calls")
    proxy = proxy_address(running.proxy_url)
    if token_file is None:
        return Way(proxy, running.ca)
    try:
        text = sys.stdin.read() if str(token_file) == "-" else token_file.read_text("utf-8")
        return Way(proxy, running.ca, authorization(text.strip()))
    except OSError as exc:
        raise CommandFailed(f"--token-file {token_file} cannot be read: {exc.strerror}", status=2) from exc
    except ValueError:  # which may hold what was read
        raise CommandFailed(f"--token-file {token_file} must be one line, TOKEN or TENANT:TOKEN", status=2) from None


def _read(file: Path, base_url: str | None, fields: dict[str, str]) -> "list[WarmRequest]":
    from proxy.load.warming import read_request  # noqa: PLC0415

    requests = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    requests.append(read_request(line, base_url, fields))
                except ValueError as exc:
                    raise CommandFailed(f"{file}:{number}: {exc}", status=2) from exc
    if not requests:
        raise CommandFailed(f"{file} holds no request", status=2)
    return requests


def _send(
    requests: "list[WarmRequest]", way: "Way", concurrency: int, budget_usd: float | None, output: Format
) -> None:
    from proxy.load.warming import Warming  # noqa: PLC0415

    warming = Warming(requests, way, concurrency, budget_usd)
    with progress("Asked", len(requests)) as advance:
        summary = warming.run(lambda: advance(1))
    if output is Format.JSON:
        typer.echo(json.dumps(summary, indent=2))
    else:
        show(summary, output)
    if warming.is_unknown:
        refused = "refuses this token" if way.authorization else "demands a token: --token-file FILE"
        raise CommandFailed(f"the proxy {refused}")
    if summary["failed"]:
        raise typer.Exit(1)
