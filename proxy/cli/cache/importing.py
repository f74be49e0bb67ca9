"""`skinflint cache import`: what another cache exported."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli import options
from proxy.cli.cache.asking import Address, Format, Output, Readable, admin_of, refusal, show
from proxy.cli.cache.tables import Advance, progress


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)],
    *,
    admin: Address = None,
    output: Output = Format.TABLE,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """Take the answers of an export that are fresh, and that were not invalidated since. Both caches must have the same
    cache.key_file, or have shared a Redis: otherwise their fingerprints differ.

    Example: skinflint cache import cache.jsonl.zst
    """
    take(file, admin, config, data_dir, output)


def take(file: Path, admin: str | None, config: Path | None, data_dir: Path | None, output: Format) -> None:
    """Send it, and show what became of it. Raises CommandFailed."""
    import json  # noqa: PLC0415

    asked = admin_of(admin, config, data_dir)
    path = "/v1/cache/import"
    with (
        progress("Imported", file.stat().st_size, is_bytes=True) as advance,
        _opened(file, advance) as source,
        asked.opened("POST", path, source) as response,
    ):
        if response.status != 200:
            raise refusal(response, asked.address, "POST", path)
        said = json.loads(response.read())
    show(said, output)


class _Counting:
    """A file that says how much of it was read."""

    def __init__(self, file: Readable, advance: Advance) -> None:
        self._file = file
        self._advance = advance

    def read(self, size: int = -1, /) -> bytes:
        content = self._file.read(size)
        self._advance(len(content))
        return content


@contextlib.contextmanager
def _opened(file: Path, advance: Advance) -> Iterator[Readable]:
    with file.open("rb") as plain:
        counting = _Counting(plain, advance)
        if file.suffix != ".zst":
            yield counting
            return
        import zstandard  # noqa: PLC0415 - --help must not wait for it

        yield zstandard.ZstdDecompressor().stream_reader(counting)  # type: ignore[arg-type] # it only reads
