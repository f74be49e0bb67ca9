"""The text of a request's last user turn, and the request without it. Pure.

Only plain cases: the last of the turns is the user's, and it is one text and nothing else, without images, files, tool
results or several parts. Everything but that text is the rest, and two requests are only compared when their rests are
equal byte for byte in canonical form.
"""

from dataclasses import dataclass, field
from typing import Final, cast

import orjson

from proxy.exchange.canonical import canonical_json
from proxy.exchange.provider import Json

_TURNS: Final = ("messages", "input", "contents")  # OpenAI, Anthropic, Cohere, Ollama, Converse; Responses; Gemini
_TEXT_TYPES: Final = frozenset({"text", "input_text"})
_PART_KEYS: Final = frozenset({"type", "text"})


@dataclass(frozen=True, slots=True)
class Turn:
    """`rest`: the canonical request with nothing where the text was."""

    text: str = field(repr=False)
    rest: bytes = field(repr=False)


def last_turn(raw: bytes, parsed: Json | None) -> Turn | None:
    """None: not one of the plain cases, or a body that cannot be read in one way only."""
    if parsed is None:
        return None
    keys = [key for key in _TURNS if key in parsed]
    if len(keys) != 1:
        return None
    found = _cut(parsed[keys[0]])
    if found is None or canonical_json(raw, parsed) != orjson.dumps(parsed, option=orjson.OPT_SORT_KEYS):
        return None
    text, without = found
    return Turn(text, orjson.dumps({**parsed, keys[0]: without}, option=orjson.OPT_SORT_KEYS))


def _cut(turns: object) -> tuple[str, object] | None:
    """The text, and the turns without it."""
    if isinstance(turns, str):
        return turns, None
    if not isinstance(turns, list) or not turns or not isinstance(turns[-1], dict):
        return None
    last = cast(Json, turns[-1])
    if last.get("role", "user") != "user":
        return None
    key = "parts" if "parts" in last else "content"
    found = _cut_content(last.get(key))
    if found is None:
        return None
    text, without = found
    return text, [*turns[:-1], {**last, key: without}]


def _cut_content(content: object) -> tuple[str, object] | None:
    match content:
        case str():
            return content, None
        case [{"text": str() as text, **more}] if not more.keys() - _PART_KEYS:
            return (text, [{**more, "text": None}]) if more.get("type", "text") in _TEXT_TYPES else None
        case _:
            return None
