"""`skinflint exec -- CMD`: a program with a proxy of its own, for as long as it runs.

The proxy keeps its data where every other proxy of this user does, so the CA, the cache's disk tier and the ledger
live on; its addresses are its own, so any number of programs can run at once.
"""

import signal
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli import options
from proxy.cli.failures import CommandFailed, say_note

if TYPE_CHECKING:
    from config.load import Snapshot


def command(
    *,
    program: Annotated[list[str], typer.Argument(metavar="-- CMD...", help="The program and its arguments.")],
    config: options.Config = None,
    listen: options.Listen = None,
    mode: options.Mode = None,
    admin: options.AdminAddress = None,
    data_dir: options.DataDir = None,
    upstream_ca: options.UpstreamCa = None,
    assign: options.Assign = None,
    profile: options.ProfileName = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not print the summary.")] = False,
) -> None:
    """Run a program through a proxy of its own, and say what that saved.

    The development profile applies unless another is chosen: repeated calls are answered from the cache, also those
    whose sampling would vary. The exit status is the program's.

    Examples: skinflint exec -- python app.py
    · skinflint exec --set cache.sampling=deterministic -- npm test
    """
    from proxy.cli.child import ChildProxy  # noqa: PLC0415 - --help must not wait for it
    from proxy.cli.env import proxy_variables  # noqa: PLC0415
    from proxy.cli.foreground import run_program  # noqa: PLC0415

    given = options.flags(
        listen=listen or ["127.0.0.1:0"],
        mode=mode,
        admin=admin or "127.0.0.1:0",
        data_dir=data_dir,
        upstream_ca=upstream_ca,
        assign=assign,
        profile=profile,
    )
    snapshot = options.settings_loader(config, given, "development").load_snapshot()
    if not snapshot.layer.given_by(("log", "level")):
        given.setdefault("--set", []).append("log.level=warning")  # nobody asked for more in a log that nobody reads
    settings, environ = snapshot.settings, options.environment()
    options.make_data_dir(settings.data_dir)
    log_file = settings.data_dir / "exec.log"
    started_at = time.time()
    signal.signal(signal.SIGTERM, _leave)  # while there is no program to send it to
    drain_s = settings.drain.linger_s + settings.drain.timeout_s
    with ChildProxy(_arguments(snapshot.file, given), environ, log_file, drain_s) as proxy:
        found = proxy.wait_until_ready()
        if found.proxy_url is None:
            raise CommandFailed("exec needs a listener in regular mode; give --mode regular", status=2)
        status = run_program(program, {**environ, **proxy_variables(found, environ)})
        has_ended_early = proxy.has_ended()
    if has_ended_early:
        say_note(f"skinflint: the proxy ended before the program did; see {log_file}")
    if not quiet:
        _say_summary(snapshot, started_at)
    raise typer.Exit(status)


def _leave(number: int, _frame: FrameType | None) -> None:
    raise typer.Exit(128 + number)


def _arguments(config: Path | None, given: dict[str, list[str]]) -> Sequence[str]:
    """`run`'s arguments for the same settings. A file that was found by its place is named: the child looks again."""
    arguments = ["--default-profile", "development"]
    if config is not None:
        arguments += ["--config", str(config)]
    return arguments + [f"{flag}={value}" for flag, values in given.items() for value in values]


def _say_summary(snapshot: "Snapshot", started_at: float) -> None:
    from proxy.cli.summary import summarize  # noqa: PLC0415 - only when it is wanted

    try:
        text = summarize(snapshot.settings, datetime.fromtimestamp(started_at, UTC))
    except CommandFailed as exc:  # the program's status counts, not the summary's
        text = f"no summary: {exc}"
    typer.echo(f"skinflint: {text}", err=True)
