"""Reading a JSON value that somebody else wrote: every getter gives a plain default for what is absent or misshapen.

Rule: these never raise, so that readers of usage and descriptions of requests need no error handling of their own.
"""

from collections.abc import Mapping
from typing import Final

import orjson

from proxy.exchange.headers import HeaderList, first
from proxy.exchange.provider import Json

NUMBERS: Final = (int, float)  # `int | float` would be built anew at each look, at three times the cost of the rest


def parse(data: bytes) -> Json | None:
    """`data` as one JSON object; None when it is anything else."""
    try:
        value: object = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def child(value: Mapping[str, object], key: str) -> Json:
    """The object under `key`, or an empty one."""
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def items(value: Mapping[str, object], key: str) -> list[object]:
    """The array under `key`, or an empty one."""
    found = value.get(key)
    return found if isinstance(found, list) else []


def objects(value: Mapping[str, object], key: str) -> list[Json]:
    """The objects in the array under `key`."""
    return [item for item in items(value, key) if isinstance(item, dict)]


def number(value: Mapping[str, object], key: str) -> int:
    """The count under `key`, never negative. Some providers write counts as floats."""
    found = value.get(key)
    if isinstance(found, NUMBERS) and found > 0:
        return int(found)
    return 0


def text(value: Mapping[str, object], key: str) -> str:
    """The string under `key`, or an empty one."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def is_number(value: Mapping[str, object], key: str, wanted: float) -> bool:
    """True when `key` holds exactly this number (a boolean is not one)."""
    found = value.get(key)
    return isinstance(found, NUMBERS) and not isinstance(found, bool) and found == wanted


def header_credential(headers: HeaderList, *names: bytes) -> bytes:
    """The first of these fields that is present, as sent, stripped; then `authorization` without its bearer scheme."""
    for name in names:
        value = first(headers, name)
        if value and value.strip():
            return value.strip()
    value = (first(headers, b"authorization") or b"").strip()
    return value[7:].strip() if value[:7].lower() == b"bearer " else value


def below(path: str, base_path: str) -> str:
    """`path` without the base path that it begins with; unchanged when it does not."""
    if base_path and path.startswith(base_path + "/"):
        return path[len(base_path) :]
    return path
