"""`skinflint cache …`: look at what is kept, forget it, carry it elsewhere. One file a command."""

import typer

from proxy.cli.cache import clear, export, importing, invalidate, listing, one, stats, top, verify, warm

app = typer.Typer(no_args_is_help=True, help="Look at the running proxy's cache, fill it, or forget what is in it.")
app.command("stats")(stats.command)
app.command("clear")(clear.command)
app.command("invalidate")(invalidate.command)
app.command("ls")(listing.command)
app.command("show")(one.command)
app.command("top")(top.command)
app.command("verify")(verify.command)
app.command("export")(export.command)
app.command("import")(importing.command)
app.command("warm")(warm.command)
