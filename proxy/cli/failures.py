"""How a command fails: one message in red on standard error, an exit status, and no traceback.

Expected failures are CommandFailed, SettingsError and OSError. Anything else is a bug and keeps its traceback.
"""

import re
from typing import Final

import typer
import typer.core
from typer import Context

from config.errors import SettingsError


class CommandFailed(Exception):
    """A command cannot do what was asked. The message is for the person who asked."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


_WRAPPED: Final = re.compile(r"(?<!\n)\n(?!\n|· )")  # Typer keeps these, and breaks lines for the terminal besides


class Commands(typer.core.TyperGroup):
    """The commands; turns expected failures into a message and a status. In help, lines end where the terminal's do."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:  # type: ignore[override] # as below
        """The arguments; before them, since `--help` is one, the help of all commands is made ready."""
        _unwrap(self)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Context) -> object:  # type: ignore[override] # Typer's own Context is not public
        """Run the command. Raises typer.Exit with its status when it failed in an expected way."""
        try:
            return super().invoke(ctx)
        except SettingsError as exc:
            say_error(str(exc))
            status = 1
        except CommandFailed as exc:
            say_error(str(exc))
            status = exc.status
        except BrokenPipeError:  # the reader of our output left, as `| head` does; Typer knows what to do
            raise
        except OSError as exc:
            place = f": {exc.filename}" if exc.filename else ""
            say_error(f"{exc.strerror or exc}{place}")
            status = 1
        raise typer.Exit(status)


def _unwrap(group: typer.core.TyperGroup) -> None:
    for command in group.commands.values():
        command.help = _WRAPPED.sub(" ", command.help or "")
        if isinstance(command, typer.core.TyperGroup):
            _unwrap(command)


def say_error(message: str) -> None:
    """An error on standard error; red on a terminal."""
    typer.secho(f"error: {message}", fg="red", err=True)


def say_note(message: str) -> None:
    """Something to know, beside a command's output."""
    typer.secho(message, fg="yellow", err=True)
