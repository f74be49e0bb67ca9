"""Options that several commands share, and what they make: the settings' loader, the running proxy.

Rules: this is the command line's only look at the process's environment. Heavy modules are imported when needed.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.failures import CommandFailed

if TYPE_CHECKING:
    from config.load import SettingsLoader
    from config.schema import Profile
    from proxy.runtime import Runtime

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Settings. Default: $SKINFLINT_CONFIG, else ./skinflint.yaml, else skinflint.yaml in the data directory.",
    ),
]
Listen = Annotated[
    list[str] | None,
    typer.Option("--listen", metavar="HOST:PORT", help="Address for clients; repeatable. Port 0 takes a free one."),
]
Mode = Annotated[
    list[str] | None,
    typer.Option(
        "--mode",
        metavar="MODE",
        help="regular, transparent, hosts or reverse:URL; once for all listeners, or once for each --listen.",
    ),
]
AdminAddress = Annotated[
    str | None, typer.Option("--admin", metavar="HOST:PORT", help="Address for health, metrics and statistics.")
]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="Where the CA, the ledger and logs are kept.")
]
UpstreamCa = Annotated[
    list[Path] | None,
    typer.Option("--upstream-ca", metavar="FILE", help="PEM roots to trust for providers, besides the usual ones."),
]
Assign = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, for example cache.ttl_s=600; repeatable."),
]
Workers = Annotated[
    str | None,
    typer.Option("--workers", metavar="N|auto", help="Processes that share the listeners; auto: one a processor."),
]
ProfileName = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="production, development or gateway: which defaults apply."),
]


def flags(
    *,
    listen: Sequence[str] | None = None,
    mode: Sequence[str] | None = None,
    admin: str | None = None,
    data_dir: Path | None = None,
    upstream_ca: Sequence[Path] | None = None,
    assign: Sequence[str] | None = None,
    profile: str | None = None,
    workers: str | None = None,
) -> dict[str, list[str]]:
    """The options that were given, as the loader (and another `run`) wants them."""
    given = {
        "--listen": list(listen or ()),
        "--mode": list(mode or ()),
        "--admin": [admin] if admin is not None else [],
        "--data-dir": [str(data_dir)] if data_dir is not None else [],
        "--upstream-ca": [str(file) for file in upstream_ca or ()],
        "--set": list(assign or ()),
        "--profile": [profile] if profile is not None else [],
        "--workers": [workers] if workers is not None else [],
    }
    return {flag: values for flag, values in given.items() if values}


def environment() -> Mapping[str, str]:
    """The environment that this process was started with."""
    return dict(os.environ)


def settings_loader(
    config: Path | None, given: Mapping[str, Sequence[str]], default_profile: "Profile" = "production"
) -> "SettingsLoader":
    """The loader for a command's options."""
    from config.load import SettingsLoader  # noqa: PLC0415 - --help must not wait for it

    return SettingsLoader(config, given, environment(), default_profile)


def make_data_dir(directory: Path) -> None:
    """Make sure that there is a data directory to write to. Raises CommandFailed."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        reason = "" if os.access(directory, os.W_OK | os.X_OK) else "it cannot be written to"
    except OSError as exc:
        reason = exc.strerror or str(exc)
    if reason:
        raise CommandFailed(f"the data directory {directory} cannot be used: {reason}; name another with --data-dir")


def env_command(data_dir: Path, home: str | None) -> str:
    """What to type into a shell so that its programs use the proxy with this data directory."""
    from config.schema import Settings  # noqa: PLC0415 - --help must not wait for it

    is_usual = home is not None and data_dir == Path(home, *Settings().data_dir.parts[1:])  # without its `~`
    return f'eval "$(skinflint env{"" if is_usual else f" --data-dir {shlex.quote(str(data_dir))}"})"'


def running_proxy(config: Path | None, data_dir: Path | None) -> "Runtime":
    """The proxy that runs with this data directory. Raises CommandFailed when none does."""
    from proxy import runtime  # noqa: PLC0415 - --help must not wait for it

    directory = settings_loader(config, flags(data_dir=data_dir)).load().data_dir
    found = runtime.read(directory)
    if found is None:
        raise CommandFailed(
            f"no proxy is running with the data directory {directory}; "
            "start one with `skinflint run`, or name its directory with --data-dir"
        )
    return found
