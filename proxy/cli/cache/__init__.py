"""`skinflint cache …`: look at what is kept, forget it, carry it elsewhere. One file a command."""

import typer

from proxy.cli.cache import clear, invalidate, stats

app = typer.Typer(no_args_is_help=True, help="Look at the running proxy's cache, fill it, or forget what is in it.")
app.command("stats")(stats.command)
app.command("clear")(clear.command)
app.command("invalidate")(invalidate.command)
