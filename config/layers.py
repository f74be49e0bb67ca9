"""Layers of settings, and laying one over another.

Rules: values are plain JSON values until the schema has checked them. Mappings merge key by key; everything else is
replaced as a whole. In a map (not in a section) `null` takes a key of a lower layer away; for a section or a map as a
whole it says nothing. Each layer remembers where its values came from.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from config.errors import Problem, shown
from config.places import Annotation, KeyPath, Kind, child, dotted, kind
from config.schema import Settings

type Value = bool | int | float | str | list[Value] | dict[str, Value] | None
type Tree = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Layer:
    """Values, and the source of each path that was given."""

    tree: Tree = field(default_factory=dict)
    sources: Mapping[KeyPath, str] = field(default_factory=dict)

    def given_by(self, path: KeyPath) -> str:
        """Who gave the value at a path; empty for a default."""
        return self.sources.get(path, "")

    def source_of(self, path: KeyPath) -> str:
        """Who gave the value at a path, or what encloses it: the place to mend it. Empty when nobody did."""
        for length in range(len(path), 0, -1):
            if source := self.sources.get(path[:length]):
                return source
        return ""

    def source_within(self, path: KeyPath) -> str:
        """Who gave a value below a path; the first, if several did. Empty when nobody did."""
        return next((source for key, source in self.sources.items() if key[: len(path)] == path), "")

    def put(self, path: tuple[str, ...], value: Value, source: str) -> "Layer":
        """This layer with one more value. What stood in its way is replaced."""
        tree: Value = value
        for key in reversed(path):
            tree = {key: tree}
        return lay(self, Layer(tree if isinstance(tree, dict) else {}, dict.fromkeys(_paths(path, value), source)))


def lay(lower: Layer, upper: Layer) -> Layer:
    """`upper` over `lower`."""
    replaced: list[KeyPath] = []
    tree = _merged(lower.tree, upper.tree, Settings, (), replaced)
    kept = {path: source for path, source in lower.sources.items() if not _is_below(path, replaced)}
    return Layer(tree, kept | dict(upper.sources))


def well_shaped(layer: Layer, problems: list[Problem]) -> Layer:
    """The layer without what stands where a mapping belongs. Another layer would cover it, and hide the mistake."""
    return Layer(_shaped(layer.tree, Settings, (), layer, problems), layer.sources)


def _shaped(tree: Tree, place: Annotation, path: KeyPath, layer: Layer, problems: list[Problem]) -> Tree:
    result: Tree = {}
    for key, value in tree.items():
        below, here = child(place, key), (*path, key)
        if below is None or kind(below) not in (Kind.SECTION, Kind.MAP) or value is None:
            result[key] = value
        elif isinstance(value, dict):
            result[key] = _shaped(value, below, here, layer, problems)
        else:  # the text is not repeated: it may be a secret that belongs further down
            given = "text" if isinstance(value, str) else shown(value)
            problems.append(Problem(layer.source_of(here), dotted(here), f"got {given}; must be a mapping"))
    return result


def _merged(low: Tree, high: Tree, place: Annotation | None, path: KeyPath, replaced: list[KeyPath]) -> Tree:
    result = dict(low)
    in_map = place is not None and kind(place) is Kind.MAP
    for key, value in high.items():
        below, here = (None if place is None else child(place, key)), (*path, key)
        old = result.get(key)
        if value is None and in_map:
            result.pop(key, None)
            replaced.append(here)
        elif value is None and below is not None and kind(below) in (Kind.SECTION, Kind.MAP):
            continue
        elif isinstance(value, dict):
            if not isinstance(old, dict):
                replaced.append(here)
            result[key] = _merged(old if isinstance(old, dict) else {}, value, below, here, replaced)
        else:
            replaced.append(here)
            result[key] = value
    return result


def _paths(path: KeyPath, value: Value) -> Iterator[KeyPath]:
    yield path
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in below:
        yield from _paths((*path, key), item)


def _is_below(path: KeyPath, tops: list[KeyPath]) -> bool:
    return any(path[: len(top)] == top for top in tops)
