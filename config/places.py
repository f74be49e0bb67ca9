"""The schema as a tree of keys: which keys exist, and what kind of value belongs at each.

Rules: it only reads the annotations of config.schema. A place is written as a path of keys; maps take any key, lists
take indexes. `annotation` objects stay inside this file and its callers in config/, who only pass them on.
"""

import types
import typing
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path

from config.schema import Settings
from config.section import Section

type KeyPath = tuple[str | int, ...]
type Annotation = object


class Kind(Enum):
    """What belongs at a place."""

    SECTION = "section"
    MAP = "map"
    LIST = "list"
    TEXT = "text"
    OTHER = "other"  # numbers and booleans


def bare(annotation: Annotation) -> Annotation:
    """The annotation without alias, metadata and `| None`."""
    if isinstance(annotation, typing.TypeAliasType):
        return bare(annotation.__value__)
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return bare(typing.get_args(annotation)[0])
    if origin in (types.UnionType, typing.Union):
        return bare(next(part for part in typing.get_args(annotation) if part is not types.NoneType))
    return annotation


def is_optional(annotation: Annotation) -> bool:
    """True when the place may hold nothing."""
    return types.NoneType in typing.get_args(annotation)


def section_of(annotation: Annotation) -> type[Section] | None:
    """The section that belongs there, if one does."""
    inner = bare(annotation)
    return inner if isinstance(inner, type) and issubclass(inner, Section) else None


def kind(annotation: Annotation) -> Kind:
    """What belongs there."""
    inner = bare(annotation)
    origin = typing.get_origin(inner)
    if section_of(inner):
        return Kind.SECTION
    if origin is dict:
        return Kind.MAP
    if origin is tuple:
        return Kind.LIST
    return Kind.TEXT if inner in (str, Path) or origin is typing.Literal else Kind.OTHER


def child(annotation: Annotation, key: str | int) -> Annotation | None:
    """What belongs below, at `key`. None when there is no such key."""
    inner = bare(annotation)
    if section := section_of(inner):
        field = section.model_fields.get(str(key))
        return field.annotation if field else None
    match kind(inner):
        case Kind.MAP:
            return typing.cast("Annotation", typing.get_args(inner)[1])
        case Kind.LIST:
            return typing.cast("Annotation", typing.get_args(inner)[0])
        case _:
            return None


def at(path: KeyPath, schema: type[Section] = Settings) -> Annotation | None:
    """What belongs at a path. None when there is no such place."""
    here: Annotation | None = schema
    for key in path:
        if here is None:
            return None
        here = child(here, key)
    return here


def resolve(parts: Sequence[str], joiner: str) -> tuple[str, ...]:
    """Split keys as the schema means them: `joiner` may be part of a map's key, as in the name of a host."""
    path: list[str] = []
    here: Annotation | None = Settings
    rest = list(parts)
    while rest:
        length = _map_key_length(here, rest) if here is not None and kind(here) is Kind.MAP else 1
        key, rest = joiner.join(rest[:length]), rest[length:]
        path.append(key)
        here = None if here is None else child(here, key)
    return tuple(path)


def _map_key_length(annotation: Annotation, rest: Sequence[str]) -> int:
    section = section_of(child(annotation, ""))
    if section is None:
        return len(rest)
    return next((end for end in range(1, len(rest)) if rest[end] in section.model_fields), 1)


def known_keys(section: type[Section] = Settings, above: str = "") -> Iterator[str]:
    """Every key of the schema as a dotted path, sections before what is in them. Maps and lists are leaves."""
    for name, field in section.model_fields.items():
        yield above + name
        if below := section_of(field.annotation):
            yield from known_keys(below, f"{above}{name}.")


def dotted(path: KeyPath) -> str:
    """A path as messages write it: `listeners[0].mode`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    return text.removeprefix(".")
