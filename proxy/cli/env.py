"""`skinflint env`: the variables that make other programs use the running proxy and trust its CA."""

import re
import shlex
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli import options
from proxy.cli.failures import CommandFailed, say_note

if TYPE_CHECKING:
    from proxy.runtime import Runtime


class Format(StrEnum):
    """Who will read the variables."""

    SH = "sh"
    FISH = "fish"
    DOTENV = "dotenv"
    DOCKER = "docker"
    POWERSHELL = "powershell"


def command(
    output: Annotated[
        Format, typer.Option("--format", help="sh also for bash and zsh; docker for `docker run --env-file`.")
    ] = Format.SH,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """Print the variables that make programs use the running proxy.

    Examples: eval "$(skinflint env)"
    · skinflint env --format fish | source
    · skinflint env --format dotenv > .env
    """
    found = options.running_proxy(config, data_dir)
    if found.proxy_url is None:
        say_note("no listener is in regular mode: these variables only make programs trust the proxy's CA")
    for name, value in proxy_variables(found, options.environment()).items():
        typer.echo(assignment(name, value, output))


def proxy_variables(found: "Runtime", existing: Mapping[str, str]) -> dict[str, str]:
    """The variables for a running proxy. Without a regular listener only those that make its CA trusted."""
    from proxy.edge.runtimes import variables  # noqa: PLC0415 - --help must not wait for it
    from proxy.edge.trust import TrustFiles  # noqa: PLC0415

    trust = TrustFiles(found.ca, found.bundle, found.truststore)
    return variables(found.proxy_url, trust, no_proxy=(), existing=existing)


def assignment(name: str, value: str, output: Format) -> str:
    """One variable, quoted for its reader."""
    match output:
        case Format.SH:
            return f"export {name}={shlex.quote(value)}"
        case Format.FISH:
            quoted = value.replace("\\", "\\\\").replace("'", "\\'")
            return f"set -gx {name} '{quoted}'"
        case Format.DOTENV:
            quoted = re.sub(r'(["\\$`])', r"\\\1", value).replace("\n", "\\n")
            return f'{name}="{quoted}"'
        case Format.DOCKER:
            if "\n" in value:
                raise CommandFailed(f"{name} has a line break, which an --env-file cannot hold")
            return f"{name}={value}"
        case Format.POWERSHELL:
            quoted = value.replace("'", "''")
            return f"$env:{name} = '{quoted}'"
