"""What a section found, and the page that is made of all of them.

Rules: pure. The text says what was done, the command that repeats it, the figures, and what they do not
show. A target that was not met is written as not met.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.machine import Machine
from bench.opening import CONTESTANTS, OPENING


@dataclass(frozen=True, slots=True)
class Table:
    """Column heads and rows of as many cells."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Check:
    """A target and what came of it."""

    target: str
    found: str
    is_met: bool | None  # None: it could not be measured


@dataclass(frozen=True, slots=True)
class Picture:
    """A file beside the page."""

    file_name: str
    title: str
    svg: str


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the page."""

    name: str  # as --only takes it
    title: str
    method: str
    tables: tuple[Table, ...]
    checks: tuple[Check, ...] = ()
    remarks: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()


def page(
    machine: Machine, sections: Sequence[Section], *, is_quick: bool, about: Sequence[tuple[str, str]] = ()
) -> str:
    """All of it, in Markdown. `about`: what else there is to say about the run, name and value."""
    parts = [OPENING]
    if is_quick:
        parts.append(
            "**This was a quick run (`--quick`): few and short rounds. It shows that things work, no more.**\n"
        )
    parts += [CONTESTANTS, _about([*machine.lines(), *about])]
    checks = [check for section in sections for check in section.checks]
    if checks:
        parts.append(f"## Targets\n\n{_markdown(_check_table(checks))}\n")
    parts += [show(section) for section in sections]
    return "\n".join(parts)


def show(section: Section) -> str:
    """One section in Markdown."""
    parts = [f"## {section.title}\n", f"{section.method}\n", f"Repeat it: `python -m bench --only {section.name}`\n"]
    parts += [f"![{picture.title}]({picture.file_name})\n" for picture in section.pictures]
    parts += [f"{_markdown(table)}\n" for table in section.tables]
    if section.checks:
        parts += [f"{_markdown(_check_table(section.checks))}\n"]
    if section.remarks:
        parts.append("\n".join([f"- {remark}" for remark in section.remarks]) + "\n")
    return "\n".join(parts)


def _about(lines: Sequence[tuple[str, str]]) -> str:
    return f"## The run\n\n{_markdown(Table(('', ''), tuple(lines)))}\n"


def _check_table(checks: Sequence[Check]) -> Table:
    words = {True: "met", False: "**not met**", None: "–"}
    rows = [(check.target, check.found, words[check.is_met]) for check in checks]
    return Table(("target", "found", ""), tuple(rows))


def _markdown(table: Table) -> str:
    lines = [f"| {' | '.join(table.heads)} |", f"|{'---|' * len(table.heads)}"]
    lines += [f"| {' | '.join(row)} |" for row in table.rows]
    return "\n".join(lines)
