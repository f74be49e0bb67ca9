"""YAML as the settings use it, with the line that each value stands on.

Rules: the core schema of YAML 1.2, so that `no`, `12:30` and `0777` are what they look like. Duplicate keys, tags and
mappings that contain themselves are problems. Nothing but scalars, lists and mappings can be made.
"""

import re
from collections.abc import Callable
from typing import Final

import yaml

from config.errors import Problem
from config.layers import Layer, Value
from config.places import KeyPath, dotted

type Locate = Callable[[yaml.Mark], str]

_TAG: Final = "tag:yaml.org,2002:"


class _CoreSchemaLoader(yaml.SafeLoader):
    """Resolves plain scalars as YAML 1.2 does."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the library's way: filled below, once, and only read afterwards


for _kind, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
):
    _CoreSchemaLoader.add_implicit_resolver(_TAG + _kind, re.compile(_pattern), _first)


class _Builder:
    """Makes values of nodes and notes where they stand."""

    def __init__(self, locate: Locate, problems: list[Problem]) -> None:
        self.sources: dict[KeyPath, str] = {}
        self._locate = locate
        self._problems = problems
        self._open: set[int] = set()

    def value(self, node: yaml.Node, path: KeyPath) -> Value:
        """The node's value; what cannot be one is a problem and becomes nothing."""
        if id(node) in self._open:
            self._report(node, path, "contains itself")
            return None
        self._open.add(id(node))
        try:
            match node:
                case yaml.ScalarNode():
                    return self._scalar(node, path)
                case yaml.SequenceNode():
                    return [self._placed(item, (*path, index)) for index, item in enumerate(node.value)]
                case yaml.MappingNode():
                    return self._mapping(node, path)
            self._report(node, path, "is not a value")
            return None
        finally:
            self._open.discard(id(node))

    def _placed(self, node: yaml.Node, path: KeyPath) -> Value:
        self.sources[path] = self._locate(node.start_mark)
        return self.value(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Value]:
        result: dict[str, Value] = {}
        lines: dict[str, str] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._report(key_node, path, "has a key that is not plain text")
                continue
            key = str(key_node.value)
            here, where = (*path, key), self._locate(key_node.start_mark)
            if key in result:
                self._problems.append(Problem(where, dotted(here), f"is given twice; first at {lines[key]}"))
                continue
            lines[key] = where
            self.sources[here] = where
            result[key] = self.value(value_node, here)
        return result

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Value:
        text = str(node.value)
        match node.tag.removeprefix(_TAG):
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text, 0) if text.startswith(("0x", "0o")) else int(text)
            case "float":
                return float(text)
        self._report(node, path, f"has the tag {node.tag}, which is not supported here")
        return None

    def _report(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        self._problems.append(Problem(self._locate(node.start_mark), dotted(path), message))


def read_yaml(text: str, name: str, problems: list[Problem]) -> Layer:
    """A configuration file's text as a layer. What is wrong with it is added to `problems`."""
    root = _compose(text, problems, lambda mark: f"{name}:{mark.line + 1}:{mark.column + 1}", name)
    if root is None:
        return Layer()
    builder = _Builder(lambda mark: f"{name}:{mark.line + 1}", problems)
    value = builder.value(root, ())
    if isinstance(value, dict):
        return Layer(value, builder.sources)
    if value is not None:
        problems.append(Problem(f"{name}:1", "", "the file must be a mapping of settings, such as `cache: {...}`"))
    return Layer()


def read_value(text: str, source: str, path: KeyPath, problems: list[Problem]) -> Value:
    """One value written as YAML or JSON. What is wrong with it is added to `problems`."""
    root = _compose(text, problems, lambda _: source, source, dotted(path))
    return None if root is None else _Builder(lambda _: source, problems).value(root, path)


def _compose(text: str, problems: list[Problem], locate: Locate, name: str, key: str = "") -> yaml.Node | None:
    loader: _CoreSchemaLoader | None = None
    try:
        loader = _CoreSchemaLoader(text)
        return loader.get_single_node()
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        message = f"not valid YAML: {exc.problem or exc.context}"
        problems.append(Problem(locate(mark) if mark else name, key, message))
    except yaml.YAMLError:  # its text would repeat what surrounds the character
        problems.append(Problem(name, key, "not valid YAML: it has a character that YAML does not allow"))
    except RecursionError:
        problems.append(Problem(name, key, "is nested too deeply"))
    finally:
        if loader is not None:
            loader.dispose()
    return None
