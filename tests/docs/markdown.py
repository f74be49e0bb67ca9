"""What stands in a document: blocks of code, words in backticks, headings and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import ROOT

_BLOCK = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^]]*]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """Code between fences. `kind`: what stands behind the first one."""

    name: str  # the document, and the block's number in it
    kind: str
    text: str

    def __str__(self) -> str:
        return self.name


def document(name: str) -> str:
    """Its text."""
    return (ROOT / "docs" / name).read_text("utf-8")


def blocks(name: str, kind: str) -> list[Block]:
    """Its blocks of this kind."""
    found = list(_BLOCK.finditer(document(name)))
    return [
        Block(f"{name} {number}", each["kind"], each["text"])
        for number, each in enumerate(found, 1)
        if each["kind"] == kind
    ]


def words(name: str) -> set[str]:
    """What stands in backticks, outside blocks."""
    return set(re.findall(r"`([^`\n]+)`", _BLOCK.sub("", document(name))))


def headings(name: str, level: int) -> list[str]:
    """Its headings of one level."""
    return re.findall(rf"^{'#' * level} (.+)$", _BLOCK.sub("", document(name)), re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """What links into it may name, as GitHub makes it."""
    titles = re.findall(r"^#+ (.+)$", _BLOCK.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(name: str) -> list[str]:
    """Where its links lead."""
    return _LINK.findall(_BLOCK.sub("", document(name)))


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a shell's block, with what is joined by pipes and && apart, and `exec … --` taken off."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"\s(?:\||&&|>)\s", line):
            if part.strip():
                yield part.split()
