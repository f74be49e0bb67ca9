"""What the schema says against a value, in words that help.

Rules: one problem for each complaint, with the value's source; unknown keys get the nearest known one; the values of
secret keys, of unknown keys and of whole sections are not repeated.
"""

import difflib
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.environment import variable_name
from config.errors import SECRET_KEYS, Problem, shown
from config.layers import Layer
from config.places import Annotation, KeyPath, at, dotted, known_keys, section_of
from config.schema import Settings
from config.section import Section

_EXPECTED: Final = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text; put it in quotes if it looks like a number",
    "path_type": "a path",
    "dict_type": "a mapping",
    "model_type": "a mapping of settings",
    "tuple_type": "a list",
}
_OF_A_KEY: Final = "[key]"  # pydantic's mark: the complaint is about a map's key, not about its value
_BOUNDS: Final = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def explain(error: ValidationError, layer: Layer, schema: type[Section] = Settings) -> list[Problem]:
    """The complaints as problems, in the order of the schema."""
    return [_problem(detail, layer, schema) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails, layer: Layer, schema: type[Section]) -> Problem:
    path: KeyPath = detail["loc"]
    if path[-1:] == (_OF_A_KEY,):
        path = path[:-1]
    source = layer.source_of(path) or layer.source_within(path) or "default"
    key = dotted(path)
    if detail["type"] == "extra_forbidden":
        return Problem(source, key, _unknown(path, source, schema))
    if detail["type"] == "missing":
        return Problem(source, key, "is required")
    return Problem(source, key, f"{_given(detail, key)}; {_wanted(detail)}")


def _given(detail: ErrorDetails, key: str) -> str:
    given: object = detail["input"]
    if key in SECRET_KEYS:
        return "got a value that is not shown"
    if detail["type"] in ("model_type", "dict_type") and isinstance(given, str):
        return "got text"
    return f"got {shown(given)}"


def _wanted(detail: ErrorDetails) -> str:
    context: dict[str, float | str] = detail.get("ctx", {})
    kind = detail["type"]
    if kind == "literal_error":
        return "allowed: " + str(context["expected"]).replace("'", "").replace(" or ", ", ")
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"must be {words} {context[bound]:g}"
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}"
    return detail["msg"].removeprefix("Value error, ")


def _unknown(path: KeyPath, source: str, schema: type[Section]) -> str:
    """An unknown key. The nearest of its neighbours is offered, else the nearest of all keys."""
    above: Annotation | None = at(path[:-1], schema)
    section = section_of(above) if above is not None else None
    neighbours = list(section.model_fields) if section else []
    own = str(path[-1])
    if source.startswith("$"):  # one underscore where two are meant is the usual slip
        names = {variable_name(key): key for key in known_keys()}
        if near := difflib.get_close_matches(source[1:], names, n=1, cutoff=0.7):
            return f"is not a setting; did you mean {near[0]}?"
    if near := difflib.get_close_matches(own, neighbours, n=1):
        return f"is not a setting; did you mean {dotted((*path[:-1], near[0]))}?"
    if near := [key for key in known_keys(schema) if key.rpartition(".")[2] == own]:
        return f"is not a setting; did you mean {near[0]}?"
    return f"is not a setting; known here: {', '.join(neighbours)}"
