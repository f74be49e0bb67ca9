"""`skinflint run`: the proxy, until it is told to stop."""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli import loopback, options
from proxy.cli.failures import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.load import SettingsLoader
    from proxy.runtime import Runtime


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
    default_profile: Annotated[str, typer.Option(hidden=True)] = "production",
    runtime_file: Annotated[Path | None, typer.Option(hidden=True)] = None,
    lifeline: Annotated[bool, typer.Option("--lifeline", hidden=True)] = False,
) -> None:
    """Run the proxy until SIGINT or SIGTERM.

    Examples: skinflint run
    · skinflint run --listen 127.0.0.1:8080 --set cache.sampling=any
    · skinflint run --listen :8443 --mode reverse:https://api.openai.com

    Then, in another shell: eval "$(skinflint env)"
    """
    if default_profile not in ("production", "development"):
        raise CommandFailed("--default-profile must be production or development", status=2)
    given = options.flags(
        listen=loopback.usable(listen) if listen and len(mode or ()) <= 1 else listen,  # else they are in pairs
        mode=mode,
        admin=admin,
        data_dir=data_dir,
        upstream_ca=upstream_ca,
        assign=assign,
        profile=profile,
        workers=workers,
    )
    loader = options.settings_loader(config, given, default_profile)  # type: ignore[arg-type] # just checked
    settings = loader.load()
    options.make_data_dir(settings.data_dir)
    is_text = settings.log.format != "json"  # who wants JSON lines only gets the app's own event
    from proxy import runtime  # noqa: PLC0415 - nor must a mistake in the settings wait for the proxy
    from proxy.descriptors import raise_limit  # noqa: PLC0415
    from proxy.edge.ca import CaError  # noqa: PLC0415
    from proxy.workers.count import worker_count  # noqa: PLC0415

    raise_limit()
    known: list[Runtime] = []

    def on_ready(ready: "Runtime") -> None:
        known.append(ready)
        try:
            runtime.write(ready, runtime_file)
        except OSError as failure:
            if runtime_file is not None:  # somebody waits for it
                raise
            _say_unfindable(failure)
        if is_text and runtime_file is None:
            typer.echo(announcement(ready, options.environment().get("HOME")))

    run = _run_one if worker_count(settings.workers) == 1 else _run_several
    try:
        status = run(loader, on_ready, lifeline)
    except CaError as failure:
        raise CommandFailed(str(failure)) from failure
    finally:
        for ready in known:
            runtime.remove(ready, runtime_file)
    raise typer.Exit(status)


def _run_one(loader: "SettingsLoader", on_ready: "Callable[[Runtime], None]", lifeline: bool) -> int:
    from proxy import process  # noqa: PLC0415

    if lifeline:
        threading.Thread(target=_stop_at_end_of_input, name="lifeline", daemon=True).start()
    return process.run(loader, on_ready)


def _run_several(loader: "SettingsLoader", on_ready: "Callable[[Runtime], None]", lifeline: bool) -> int:
    from proxy.workers.supervisor import supervise  # noqa: PLC0415 - which one process alone needs nothing of

    return supervise(loader, on_ready, sys.stdin.fileno() if lifeline else None)


def _say_unfindable(failure: OSError) -> None:
    """It serves all the same."""
    import structlog  # noqa: PLC0415 - `run` has it by now

    structlog.get_logger(__name__).warning(
        "runtime_file_not_written",
        file=failure.filename,
        reason=failure.strerror,
        effect="`skinflint env`, `cache` and `doctor` do not find this proxy",
    )


def announcement(ready: "Runtime", home: str | None) -> str:
    """What a person needs to know to use the proxy."""
    lines = [f"Skinflint {ready.version} is ready."]
    lines += [f"  listening  {listener.address} ({listener.mode})" for listener in ready.listeners]
    lines += [f"  admin      http://{ready.admin}", f"  CA         {ready.ca}"]
    if ready.proxy_url:
        lines.append(f"Use it from another shell: {options.env_command(ready.data_dir, home)}")
    return "\n".join(lines)


def _stop_at_end_of_input() -> None:
    """End with the process that holds the other end of standard input, however that one ends."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
