"""A value given as text, by a variable or a flag, read as the kind that belongs at its place.

Rules: text is taken as it stands, unless it is in quotes; lists and mappings are YAML or JSON; a list of texts may
also be written with commas; `null` (or `~`) means nothing where nothing is allowed.
"""

from typing import Final

from config.errors import Problem
from config.layers import Value
from config.places import KeyPath, Kind, at, child, is_optional, kind
from config.yaml_file import read_value

_NOTHING: Final = ("null", "~")


def parse_text(text: str, path: KeyPath, source: str, problems: list[Problem]) -> Value:
    """The value. What is wrong with its YAML is added to `problems`; everything else is the schema's to judge."""
    place = at(path)
    if place is None:
        return text  # there is no such key: nobody will read it
    text = text.strip()
    if text in _NOTHING and (is_optional(place) or _is_in_map(path)):
        return None
    match kind(place):
        case Kind.TEXT if not _is_quoted(text):
            return text
        case Kind.LIST if kind(child(place, 0)) is Kind.TEXT and not text.startswith(("[", "- ")):
            return [part.strip() for part in text.split(",") if part.strip()]
        case _:
            return read_value(text, source, path, problems)


def _is_in_map(path: KeyPath) -> bool:
    above = at(path[:-1])
    return above is not None and kind(above) is Kind.MAP


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
