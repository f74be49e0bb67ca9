"""`skinflint gateway`: what the operator of a shared proxy needs besides `skinflint run`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.failures import CommandFailed

app = typer.Typer(no_args_is_help=True, help="Make tokens for the tenants of a proxy that many share.")


@app.callback()
def _top() -> None:
    pass


@app.command()
def token(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whose calls they are that come with the token.")],
    credentials: Annotated[
        Path | None,
        typer.Option("--credentials", metavar="FILE", help="Append the line to this file, made if it is not there."),
    ] = None,
) -> None:
    """Make a token for a tenant. It is printed this once; only its salted digest goes into the credentials file.

    Example: skinflint gateway token team-a --credentials credentials
    · then HTTPS_PROXY=http://team-a:TOKEN@gateway:3128

    Without --credentials the line for the file is printed to standard error.
    """
    from proxy.access.credentials import new_token  # noqa: PLC0415 - --help must not wait for it

    try:
        made, line = new_token(tenant)
    except ValueError as exc:
        raise CommandFailed(f"the tenant's name {exc}", status=2) from exc
    if credentials is None:
        typer.echo(line, err=True)
    else:
        _append(credentials, line)
    typer.echo(made)


def _append(file: Path, line: str) -> None:
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "rb+") as opened:
            content = opened.read()
            gap = "\n" if content and not content.endswith(b"\n") else ""
            opened.write(f"{gap}{line}\n".encode())
    except OSError as exc:
        raise CommandFailed(f"{file} cannot be written: {exc.strerror}") from exc
