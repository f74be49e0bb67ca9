"""`skinflint cache export`: everything that is fresh, in a file for `cache import`."""

import contextlib
import os
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from proxy.cli import options
from proxy.cli.cache.asking import Address, admin_of, refusal
from proxy.cli.cache.tables import progress
from proxy.cli.failures import CommandFailed

_CHUNK_BYTES: Final = 262_144
_END: Final = b'{"end":true}\n'


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines; compressed when it ends in .zst.")],
    *,
    admin: Address = None,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """Write what is in memory and on disk, and fresh, to a file (0600), each answer once.

    The file holds answers in the clear unless cache.encryption is on.

    Example: skinflint cache export cache.jsonl.zst
    """
    asked = admin_of(admin, config, data_dir)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with contextlib.ExitStack() as stack:
            response = stack.enter_context(asked.opened("GET", "/v1/cache/export"))
            if response.status != 200:
                raise refusal(response, asked.address, "GET", "/v1/cache/export")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            target = stack.enter_context(_writing(os.fdopen(descriptor, "wb"), is_packed=file.suffix == ".zst"))
            advance = stack.enter_context(progress("Exported", None))
            lines, last = 0, b""
            while chunk := response.read(_CHUNK_BYTES):
                target.write(chunk)
                found = chunk.count(b"\n")
                lines += found
                last = (last + chunk)[-len(_END) :]
                advance(found)
        if last != _END:
            raise CommandFailed("the export broke off; nothing was written")
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    typer.echo(f"{lines - 2:,} answers exported to {file}")


def _writing(target: BinaryIO, *, is_packed: bool) -> contextlib.AbstractContextManager[BinaryIO]:
    if not is_packed:
        return target
    import zstandard  # noqa: PLC0415 - --help must not wait for it

    return zstandard.ZstdCompressor(level=3).stream_writer(target)
