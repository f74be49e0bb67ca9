"""The command line. One file a command; this one only puts them together.

Rules: a command's module is light to import, since `--help` imports them all; what is heavy is imported inside the
command. Expected failures are raised as CommandFailed (see failures.py), never printed where they happen.
"""

import sys
from typing import Annotated

import typer

from proxy.cli import bench, ca, cache, check_config, demo, doctor, env, gateway, injector, report, run
from proxy.cli import exec as exec_command
from proxy.cli.failures import Commands

app = typer.Typer(
    name="skinflint",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The LLM sidecar that never pays twice for the same tokens.",
    epilog="Try it: skinflint exec -- python app.py",
)

_OWN_PARSING = {"allow_interspersed_args": False}  # what follows the program's name belongs to the program

app.command("run")(run.command)
app.command("exec", context_settings=_OWN_PARSING)(exec_command.command)
app.command("env")(env.command)
app.command("report")(report.command)
app.add_typer(cache.app, name="cache")
app.add_typer(ca.app, name="ca")
app.command("check-config")(check_config.command)
app.command("doctor")(doctor.command)
app.command("demo")(demo.command)
app.command("bench")(bench.command)
app.command("injector")(injector.command)
app.add_typer(gateway.app, name="gateway")


def _show_version(wanted: bool) -> None:
    if wanted:
        from proxy import version  # noqa: PLC0415 - slow, and rarely needed

        typer.echo(f"skinflint {version()}")
        raise typer.Exit


@app.callback()
def _top(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> int:
    """The entry point. Returns the exit status; 2 for a mistake in the command line itself."""
    try:
        app(prog_name="skinflint")
    except SystemExit as exc:
        if isinstance(exc.code, int) or exc.code is None:
            return exc.code or 0
        sys.stderr.write(f"{exc.code}\n")
        return 1
    return 0
