"""`skinflint cache clear`: forget every answer."""

import typer

from proxy.cli import options
from proxy.cli.cache.asking import Address, Format, Output, admin_of, refused, show
from proxy.cli.failures import CommandFailed


def command(
    admin: Address = None,
    output: Output = Format.TABLE,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """Forget every cached answer, and free its room. Exit status 1: not everybody could be told.

    Example: skinflint cache clear --admin 127.0.0.1:9190
    """
    asked = admin_of(admin, config, data_dir)
    status, said = asked.ask_status("POST", "/v1/cache/clear")
    if "cleared" not in said and status >= 400:
        raise CommandFailed(refused(asked.address, status, "POST", "/v1/cache/clear", said))
    show(said, output)
    if said.get("unreached"):
        raise typer.Exit(1)
