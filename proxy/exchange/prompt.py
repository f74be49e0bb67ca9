"""A prompt as a provider's prompt cache sees it: parts in the order in which they are read, each with a digest.

Providers give a discount on the beginning of a prompt that equals the beginning of a recent one. That order is not the
order of members in the JSON: tools come first, then what shapes the whole answer, the system prompt, and the turns.
Rules: pure, and no text is kept: a part is a number, and so is each piece of a long text, cut where sentences and lines
end, so that what was put in or taken out moves no later piece. The numbers are Python's own hashes of strings: keyed by
a random key of the process, which leaves it no more than they do, and a twentieth of the cost of any other digest.
Where a cache is told to begin (`cache_control`, `cachePoint`) is no part of the prompt.
"""

import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import orjson

from proxy.exchange.provider import Json

TOOLS: Final = "tools"
PARAMETERS: Final = "parameters"
SYSTEM: Final = "system"
FIRST_MESSAGE: Final = "first_message"
MESSAGE: Final = "message"

MOST_PARTS: Final = 512  # what comes after them is not looked at
LONG_TEXT: Final = 512  # characters; of a shorter text it is enough to know whether it is equal
LONGEST_PIECE: Final = 320
_PIECE: Final = re.compile(r"[^.\n]{1,256}[.\n]{0,64}|[.\n]{1,64}")

_TOOLS: Final = ("tools", "functions", "toolConfig")
_SHAPE: Final = ("response_format", "text")  # a schema of the answer stands before the system prompt
_SYSTEM: Final = ("system", "instructions", "systemInstruction", "system_instruction")
_CHOICE: Final = ("tool_choice", "thinking")  # Anthropic: whoever changes these has another prefix of messages
_TURNS: Final = ("messages", "input", "contents", "prompt")
_MARKS: Final = (b'"cache_control"', b'"cachePoint"')
_SYSTEM_ROLES: Final = frozenset({"system", "developer"})


@dataclass(frozen=True, slots=True)
class Part:
    """`text` is empty unless the part is one long text."""

    kind: str
    digest: int
    size: int  # characters
    text: str = field(default="", repr=False)


def parts_of(body: Json, *, is_marked: bool) -> list[Part]:
    """The prompt's parts, at most `MOST_PARTS`. `is_marked`: marks of a cache must be looked for.

    Raises TypeError for what cannot be digested: arrays nested hundreds deep.
    """
    return list(islice(_parts(body, is_marked=is_marked), MOST_PARTS))


def is_marked(raw: bytes) -> bool:
    """Does this body say where a cache is to begin? Quotes in JSON's texts are escaped: this is a member's name."""
    return any(mark in raw for mark in _MARKS)


@dataclass(frozen=True, slots=True)
class Pieces:
    """A text in pieces: a number for each, and how many characters it has."""

    digests: array[int]
    lengths: array[int]


def pieces_of(text: str, limit: int) -> Pieces:
    """A text cut where sentences and lines end, or after 256 characters; its first pieces, `limit` at most."""
    found = _PIECE.findall(text, 0, limit * LONGEST_PIECE)[:limit]
    return Pieces(array("q", map(hash, found)), array("H", map(len, found)))


def _parts(body: Json, *, is_marked: bool) -> Iterator[Part]:
    for name in _TOOLS:
        if value := body.get(name):
            for tool in value if isinstance(value, list) else [value]:
                yield _part(TOOLS, tool, is_marked=is_marked)
    for name in _SHAPE:
        if isinstance(value := body.get(name), dict):
            yield _part(PARAMETERS, value, is_marked=False)
    for name in _SYSTEM:
        if value := body.get(name):
            for each in value if isinstance(value, list) else [value]:
                yield _part(SYSTEM, each, is_marked=is_marked)
    for name in _CHOICE:
        if value := body.get(name):
            yield _part(PARAMETERS, [name, value], is_marked=False)
    for name in _TURNS:
        if value := body.get(name):
            yield from _turns(value if isinstance(value, list) else [value], is_marked=is_marked)


def _turns(turns: list[object], *, is_marked: bool) -> Iterator[Part]:
    kind = SYSTEM
    for turn in turns:
        if kind != MESSAGE and not (kind == SYSTEM and _is_system(turn)):
            kind = FIRST_MESSAGE if kind == SYSTEM else MESSAGE
        yield _part(kind, turn, is_marked=is_marked)


def _is_system(turn: object) -> bool:
    return isinstance(turn, dict) and turn.get("role") in _SYSTEM_ROLES


def _part(kind: str, value: object, *, is_marked: bool) -> Part:
    if is_marked:
        value = _unmarked(value)
    role, text = _text_of(value)
    if text is not None:
        return Part(kind, hash((role, text)), len(text), text if len(text) >= LONG_TEXT else "")
    raw = orjson.dumps(value)
    return Part(kind, hash(raw), len(raw))


def _text_of(value: object) -> tuple[str, str | None]:
    """The role and the text of a turn or a system prompt that is one text, in whichever of its forms."""
    role, content = "", value
    if isinstance(value, dict):
        if isinstance(value.get("role"), str) and len(value) == 2:
            role = str(value["role"])
            content = value["content"] if "content" in value else value.get("parts")
        elif len(value) == 1:
            content = value.get("parts", value)
    if isinstance(content, list) and len(content) == 1:
        content = content[0]
    if isinstance(content, dict) and len(content) == 1 + ("type" in content):
        content = content.get("text")
    return role, content if isinstance(content, str) else None


def _unmarked(value: object) -> object:
    """Without the marks of a cache: in itself, and in what it contains directly."""
    if isinstance(value, list):
        return [_unmarked(each) for each in value if not _is_mark(each)]
    if not isinstance(value, Mapping):
        return value
    kept = {name: each for name, each in value.items() if name != "cache_control"}
    for name in ("content", "tools"):
        if isinstance(inner := kept.get(name), list):
            kept[name] = [
                {key: item for key, item in each.items() if key != "cache_control"} if isinstance(each, dict) else each
                for each in inner
                if not _is_mark(each)
            ]
    return kept


def _is_mark(value: object) -> bool:
    return isinstance(value, dict) and "cachePoint" in value
