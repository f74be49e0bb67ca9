"""The table of values in the chart's README, made of values.yaml: `python -m tests.chart.readme` writes it.

Rules of values.yaml: a key with a comment behind it is documented, with all that stands below it; a key without one has
documented keys below it; `## text` above a key begins a section.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from tests.chart.helm import CHART

README = CHART / "README.md"
BEGIN, END = "<!-- values: made of values.yaml -->", "<!-- end of values -->"
_LINE = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z0-9]+):(?P<value>( .*?)??)(  # (?P<comment>.*))?")


@dataclass(frozen=True, slots=True)
class Row:
    """A documented value."""

    path: str
    default: object
    comment: str


@dataclass(frozen=True, slots=True)
class Section:
    """Values under one heading."""

    title: str
    rows: list[Row]


def sections(text: str) -> list[Section]:
    """All documented values. Fails on a value that nothing is said about."""
    values = yaml.safe_load(text)
    found = [Section("Names, and what is on every object", [])]
    above: list[tuple[int, str]] = []
    documented_at: int | None = None
    for line in text.splitlines():
        if line.startswith("## "):
            found.append(Section(line.removeprefix("## "), []))
        elif (said := _LINE.fullmatch(line)) is not None:
            depth = len(said["indent"])
            if documented_at is not None and depth > documented_at:
                continue
            documented_at = None
            above = [each for each in above if each[0] < depth] + [(depth, said["key"])]
            path = [key for _, key in above]
            if said["comment"]:
                documented_at = depth
                found[-1].rows.append(Row(".".join(path), _at(values, path), said["comment"]))
            else:
                assert not said["value"].strip(), f"nothing is said about {'.'.join(path)}"
    return found


def _at(values: dict, path: list[str]) -> object:
    for key in path:
        values = values[key]
    return values


def table(text: str) -> str:
    """The README's part about values."""
    return "\n".join(_lines(text))


def _lines(text: str) -> Iterator[str]:
    yield BEGIN
    for each in sections(text):
        yield from ("", f"### {each.title}", "", "| Value | Default | |", "|---|---|---|")
        for row in each.rows:
            default = json.dumps(row.default, ensure_ascii=False).replace("|", "\\|")
            yield f"| `{row.path}` | `{default}` | {row.comment.replace('|', '&#124;')} |"
    yield from ("", END)


def with_table(readme: str, text: str) -> str:
    """The README with a table that is true."""
    before, _, rest = readme.partition(BEGIN)
    return before + table(text) + rest.partition(END)[2]


if __name__ == "__main__":
    README.write_text(with_table(README.read_text("utf-8"), (CHART / "values.yaml").read_text("utf-8")), "utf-8")
