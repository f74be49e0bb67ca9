"""`skinflint check-config`: are the settings good, what are they, and where does each come from?"""

from datetime import UTC, datetime
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from proxy.cli import options
from proxy.cli.failures import CommandFailed, say_note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.layers import Value
    from config.load import Snapshot
    from config.places import KeyPath
    from config.schema import Settings

_WIDEST_VALUE: Final = 50


class Format(StrEnum):
    """How the settings are shown."""

    TABLE = "table"
    YAML = "yaml"
    JSON = "json"


def command(
    *,
    config: options.Config = None,
    listen: options.Listen = None,
    mode: options.Mode = None,
    admin: options.AdminAddress = None,
    data_dir: options.DataDir = None,
    upstream_ca: options.UpstreamCa = None,
    assign: options.Assign = None,
    profile: options.ProfileName = None,
    workers: options.Workers = None,
    print_defaults: Annotated[
        bool, typer.Option("--print-defaults", help="Print every setting with its default and reason, and exit.")
    ] = False,
    output: Annotated[Format, typer.Option("--format", help="yaml and json can be used as a settings file.")] = (
        Format.TABLE
    ),
) -> None:
    """Check the settings and show where each comes from. Exit status 1 when they are not good.

    Examples: skinflint check-config
    · skinflint check-config --config skinflint.yaml --format yaml
    · skinflint check-config --print-defaults > skinflint.yaml
    """
    if print_defaults:
        typer.echo(files("config").joinpath("defaults.yaml").read_text("utf-8"), nl=False)
        return
    given = options.flags(
        listen=listen,
        mode=mode,
        admin=admin,
        data_dir=data_dir,
        upstream_ca=upstream_ca,
        assign=assign,
        profile=profile,
        workers=workers,
    )
    snapshot = options.settings_loader(config, given).load_snapshot()
    _check_further(snapshot)
    match output:
        case Format.TABLE:
            _print_table(snapshot)
        case Format.YAML:
            import yaml  # noqa: PLC0415 - slow, and only needed here

            typer.echo(yaml.safe_dump(_plain(snapshot), sort_keys=False, allow_unicode=True), nl=False)
        case Format.JSON:
            import json  # noqa: PLC0415

            typer.echo(json.dumps(_plain(snapshot), indent=2))


def _check_further(snapshot: "Snapshot") -> None:
    """What only the parts that use the settings can judge, and would at the proxy's start."""
    from config.prices import load_prices  # noqa: PLC0415 - --help must not wait for them
    from proxy.providers.registry import Registry  # noqa: PLC0415

    load_prices(snapshot.settings.cost.prices)
    _try_files(snapshot.settings)
    try:
        Registry.from_settings(snapshot.settings)
    except ValueError as exc:
        raise CommandFailed(str(exc)) from exc


def _try_files(settings: "Settings") -> None:
    """Tokens and certificates, as the proxy would read them."""
    if settings.access.credentials is not None:
        from proxy.access.credentials import CredentialsFile  # noqa: PLC0415 - who has none does not wait for it

        CredentialsFile(settings.access.credentials)
    for listener in settings.listeners:
        if listener.tls is not None:
            from proxy.edge.front import Front  # noqa: PLC0415 - the same

            if problem := Front(listener.tls).in_force.problem(datetime.now(UTC)):
                say_note(f"{listener.tls.certificate}: {problem}; clients refuse it")


def _plain(snapshot: "Snapshot") -> "Value":
    from config.errors import without_password  # noqa: PLC0415 - --help must not wait for the schema

    def hidden(value: "Value") -> "Value":
        if isinstance(value, dict):
            return {key: hidden(item) for key, item in value.items()}
        if isinstance(value, list):
            return [hidden(item) for item in value]
        return without_password(value) if isinstance(value, str) else value

    return hidden(snapshot.settings.model_dump(mode="json"))


def _print_table(snapshot: "Snapshot") -> None:
    from config.places import dotted  # noqa: PLC0415 - --help must not wait for the schema

    rows = [(dotted(path), text, snapshot.layer.given_by(path)) for path, text in _leaves(_plain(snapshot), ())]
    name_width = max(len(name) for name, _, _ in rows)
    text_width = min(max(len(text) for _, text, _ in rows), _WIDEST_VALUE)
    for name, text, source in rows:
        line = f"{name:<{name_width}}  {text:<{text_width}}  {_short(source) or 'default'}"
        typer.echo(typer.style(line, dim=not source))
    typer.echo(f"The settings are good. File: {snapshot.file or 'none'}")


def _leaves(value: "Value", path: "KeyPath") -> "Iterator[tuple[KeyPath, str]]":
    match value:
        case dict() if value:
            for key, item in value.items():
                yield from _leaves(item, (*path, key))
        case list() if value and isinstance(value[0], dict):
            for index, item in enumerate(value):
                yield from _leaves(item, (*path, index))
        case None:
            yield path, "null"
        case bool():
            yield path, str(value).lower()
        case list():
            yield path, ", ".join(str(item) for item in value) or "[]"
        case dict():
            yield path, "{}"
        case _:
            yield path, str(value)


def _short(source: str) -> str:
    return source.removeprefix(f"{Path.cwd()}/")
