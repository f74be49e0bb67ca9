"""Tables and progress bars of the cache commands: Rich on a terminal, plain lines elsewhere."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

import typer

type Advance = Callable[[int], None]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """What a person reads. What a client named is text, never markup."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - --help must not wait for it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if not sys.stdout.isatty():
        typer.echo("\t".join(columns))
        for row in rows:
            typer.echo("\t".join(_plain(cell) for cell in row))
        return
    shown = Table(box=SIMPLE_HEAD)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(_plain(cell)) for cell in row))
    Console().print(shown)


def _plain(cell: str) -> str:
    return "".join(letter if letter.isprintable() else "�" for letter in cell)


@contextlib.contextmanager
def progress(what: str, total: int | None, *, is_bytes: bool = False) -> Iterator[Advance]:
    """A bar on standard error; nothing when that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    from rich import progress as bars  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    counted = bars.DownloadColumn() if is_bytes else bars.MofNCompleteColumn()
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), counted, bars.TimeElapsedColumn())
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


def duration(seconds: object) -> str:
    """3.2 s, 5 min, 7 h, 12 d."""
    if not isinstance(seconds, int | float):
        return "–"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= size * 2:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def usd(amount: object) -> str:
    """$0.0012; – when it is unknown."""
    return f"${amount:.6f}" if isinstance(amount, int | float) else "–"
