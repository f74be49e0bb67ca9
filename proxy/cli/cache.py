"""`skinflint cache stats` and `skinflint cache clear`, over the running proxy's admin listener."""

import json
from enum import StrEnum
from typing import Annotated

import typer

from proxy.cli import options
from proxy.cli.failures import CommandFailed

_TIMEOUT_S = 10.0

app = typer.Typer(no_args_is_help=True, help="Look at the running proxy's cache, or empty it.")


class Format(StrEnum):
    """How statistics are shown."""

    TABLE = "table"
    JSON = "json"


Address = Annotated[
    str | None, typer.Option("--admin", metavar="HOST:PORT", help="Admin address. Default: the running proxy's.")
]


@app.command()
def stats(
    admin: Address = None,
    output: Annotated[Format, typer.Option("--format")] = Format.TABLE,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """Show what the cache holds and how often it answered.

    Example: skinflint cache stats --format json
    """
    answer = _ask(admin or options.running_proxy(config, data_dir).admin, "GET", "/v1/stats")
    _print(answer, output)


@app.command()
def clear(
    admin: Address = None,
    output: Annotated[Format, typer.Option("--format")] = Format.TABLE,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """Forget every cached answer.

    Example: skinflint cache clear --admin 127.0.0.1:9190
    """
    answer = _ask(admin or options.running_proxy(config, data_dir).admin, "POST", "/v1/cache/clear")
    _print(answer, output)


def _ask(address: str, method: str, path: str) -> object:
    """The admin listener's JSON answer. Raises CommandFailed. Never goes through a proxy, ours included."""
    import http.client  # noqa: PLC0415 - --help must not wait for it

    from config.schema import split_address  # noqa: PLC0415
    from proxy.runtime import reachable  # noqa: PLC0415

    try:
        host, port = split_address(reachable(address))
    except ValueError as exc:
        raise CommandFailed(f"--admin {exc}", status=2) from exc
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request(method, path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as exc:
        raise CommandFailed(f"the proxy's admin listener at {address} does not answer: {exc}") from exc
    finally:
        connection.close()
    if response.status >= http.HTTPStatus.BAD_REQUEST:
        raise CommandFailed(f"the proxy's admin listener at {address} answered {response.status} to {method} {path}")
    try:
        return json.loads(body) if body.strip() else {}
    except ValueError as exc:
        raise CommandFailed(f"what answers at {address} is not Skinflint's admin listener") from exc


def _print(answer: object, output: Format) -> None:
    if output is Format.JSON:
        typer.echo(json.dumps(answer, indent=2))
        return
    rows = list(_rows(answer, ""))
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        typer.echo(f"{name:<{width}}  {text}")


def _rows(answer: object, name: str) -> list[tuple[str, str]]:
    if isinstance(answer, dict):
        return [row for key, value in answer.items() for row in _rows(value, f"{name}.{key}" if name else str(key))]
    if isinstance(answer, list):
        return [row for index, value in enumerate(answer) for row in _rows(value, f"{name}[{index}]")]
    if answer is None:
        return [(name, "–")]
    return [(name, f"{answer:,}" if type(answer) in (int, float) else str(answer))]
