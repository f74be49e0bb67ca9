"""`skinflint cache verify`: opens every entry in memory and on disk again."""

from typing import Annotated, Final

import typer

from proxy.cli import options
from proxy.cli.cache.asking import Address, Format, Output, admin_of, show
from proxy.cli.cache.tables import progress

_COUNTS: Final = (
    "entries", "bytes", "broken", "broken_bytes", "locked", "locked_bytes", "expired", "expired_bytes", "deleted",
)  # fmt: skip


def command(
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the broken ones.")] = False,
    admin: Address = None,
    output: Output = Format.TABLE,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """Check every entry's checksum. Exit status 1: some are broken.

    `locked` ones are encrypted otherwise than the settings say, or with a key that is not there: they are no error,
    and are left alone. `expired` ones go by themselves.

    Example: skinflint cache verify --delete
    """
    asked = admin_of(admin, config, data_dir)
    counts = dict.fromkeys(_COUNTS, 0)
    after: object = ""
    with progress("Checked", None) as advance:
        while after is not None:
            said = asked.ask("POST", "/v1/cache/verify", {"after": after, "delete": delete})
            for name in _COUNTS:
                counts[name] += int(str(said.get(name, 0)))
            advance(int(str(said.get("entries", 0))))
            after = said.get("after")
    show(counts, output)
    if counts["broken"]:
        raise typer.Exit(1)
