"""A pod as JSON: looking into it without trusting its shape, and changing it while writing down how.

Rules: a member that is missing, null or empty is the same; one of another kind raises MalformedError, which says where
and never what. A Draft's operations (RFC 6902) add members and elements; they never rewrite an array.
"""

from collections.abc import Sequence
from typing import cast

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None
type Object = dict[str, Json]
type Path = tuple[str | int, ...]


class MalformedError(ValueError):
    """A document that has not the shape of what it says it is."""


def section(parent: Object, key: str) -> Object:
    """A member that is an object."""
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedError(f"{key} must be an object")
    return value


def sections(parent: Object, key: str) -> list[Object]:
    """A member that is a list of objects."""
    found: list[Object] = []
    for value in elements(parent, key):
        if not isinstance(value, dict):
            raise MalformedError(f"{key} must be a list of objects")
        found.append(value)
    return found


def elements(parent: Object, key: str) -> list[Json]:
    """A member that is a list."""
    value = parent.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedError(f"{key} must be a list")
    return value


def text(parent: Object, key: str) -> str:
    """A member that is text."""
    value = parent.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedError(f"{key} must be text")
    return value


def texts(parent: Object, key: str) -> list[str]:
    """A member that is a list of texts."""
    found = [value for value in elements(parent, key) if isinstance(value, str)]
    if len(found) != len(elements(parent, key)):
        raise MalformedError(f"{key} must be a list of texts")
    return found


def covers(found: Json, wanted: Json) -> bool:
    """Does `found` say all that `wanted` says? It may say more in objects: servers fill in defaults."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(covers(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(covers(ours, theirs) for ours, theirs in zip(found, wanted, strict=True))
        )
    return type(found) is type(wanted) and found == wanted


def copied[T: Json](value: T) -> T:
    """The same, with nothing shared. `copy.deepcopy` takes three times as long, and two frames for each level."""
    return cast(T, _copied(value))


def _copied(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


class Draft:
    """A copy of a document, and the operations that make it of the original."""

    def __init__(self, document: Object) -> None:
        self.document = copied(document)
        self.operations: list[Object] = []

    def put(self, path: Path, key: str, value: Json) -> None:
        """Set a member of the object at `path`, which is made if it is missing. What says so already stays."""
        parent = self._object(path)
        if key in parent and covers(parent[key], value):
            return
        self._write("replace" if key in parent else "add", (*path, key), value)
        parent[key] = copied(value)

    def extend(self, path: Path, values: Sequence[Json]) -> None:
        """Add elements to the end of the list at `path`, which is made if it is missing."""
        *above, key = path
        parent = self._object(tuple(above))
        assert isinstance(key, str), "a list stands in an object"
        if not elements(parent, key):
            if values:
                self.put(tuple(above), key, list(values))
            return
        for value in values:
            self._write("add", (*path, "-"), value)
            elements(parent, key).append(copied(value))

    def insert(self, path: Path, index: int, value: Json) -> None:
        """Put an element before the one at `index` of the list at `path`, which is made if it is missing."""
        *above, key = path
        parent = self._object(tuple(above))
        assert isinstance(key, str), "a list stands in an object"
        if not elements(parent, key):
            self.put(tuple(above), key, [value])
            return
        self._write("add", (*path, index), value)
        elements(parent, key).insert(index, copied(value))

    def remove(self, path: Path, index: int) -> None:
        """Take an element out of the list at `path`."""
        self.operations.append({"op": "remove", "path": pointer((*path, index))})
        found = self._at(path)
        assert isinstance(found, list)
        del found[index]

    def replace(self, path: Path, index: int, value: Json) -> None:
        """Put another element in the place of one."""
        self._write("replace", (*path, index), value)
        found = self._at(path)
        assert isinstance(found, list)
        found[index] = copied(value)

    def _write(self, operation: str, path: Path, value: Json) -> None:
        self.operations.append({"op": operation, "path": pointer(path), "value": copied(value)})

    def _object(self, path: Path) -> Object:
        parent = self._at(path[:-1]) if path else None
        if isinstance(parent, dict) and parent.get(str(path[-1])) is None:
            self.put(path[:-1], str(path[-1]), {})
        found = self._at(path)
        if not isinstance(found, dict):
            raise MalformedError(f"{path[-1]} must be an object")
        return found

    def _at(self, path: Path) -> Json:
        here: Json = self.document
        for key in path:
            if isinstance(here, dict) and isinstance(key, str):
                here = here.get(key)
            elif isinstance(here, list) and isinstance(key, int):
                here = here[key]
            else:
                raise MalformedError(f"{key} has no place")
        return here


def pointer(path: Sequence[str | int]) -> str:
    """A path as RFC 6901 writes it."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in path)
