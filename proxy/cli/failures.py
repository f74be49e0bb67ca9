"""How a command fails: one message in red on standard error, an exit status, and no traceback.

Expected failures are CommandFailed, SettingsError and OSError. Anything else is a bug and keeps its traceback.
"""

import typer
import typer.core
from typer import Context

from config.errors import SettingsError


class CommandFailed(Exception):
    """A command cannot do what was asked. The message is for the person who asked."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class Commands(typer.core.TyperGroup):
    """The commands; turns expected failures into a message and a status."""

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


def say_error(message: str) -> None:
    """An error on standard error; red on a terminal."""
    typer.secho(f"error: {message}", fg="red", err=True)


def say_note(message: str) -> None:
    """Something to know, beside a command's output."""
    typer.secho(message, fg="yellow", err=True)
