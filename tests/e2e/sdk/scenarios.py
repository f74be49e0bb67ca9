"""What the client scripts share: named scenarios, asked for one a line on standard input, answered by one JSON line.

Rules: a scenario is a function that uses an SDK as any application would, and returns what the application saw, as
JSON. Nothing here knows of a proxy: what leads the SDK to one is in the environment. What SDKs print goes to standard
error, so that standard output holds the answers alone.
"""

import base64
import hashlib
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping


def serve(names: Mapping[str, object]) -> None:
    """Answer the names on standard input until it ends: those of the script's functions that need no argument."""
    known = {name: each for name, each in names.items() if inspect.isfunction(each) and _is_scenario(each)}
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        name = line.strip()
        try:
            answer = json.dumps({"value": sorted(known) if name == "?" else known[name]()})
        except Exception:
            answer = json.dumps({"failure": traceback.format_exc()})
        print(answer, file=answers, flush=True)


def _is_scenario(function: Callable[..., object]) -> bool:
    return function.__module__ == "__main__" and not inspect.signature(function).parameters


def raised(error: type[Exception], call: Callable[[], object]) -> Exception:
    """The error that a call raises, which must be one of this class."""
    try:
        call()
    except error as exc:
        return exc
    raise AssertionError(f"{error.__name__} was not raised")


def digest(content: bytes) -> str:
    """Bytes in short."""
    return f"{len(content)} bytes, {hashlib.sha256(content).hexdigest()[:16]}"


def picture(size: int = 2 * 1024 * 1024) -> str:
    """The base64 of bytes that do not compress and are the same each time."""
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + hashlib.shake_256(b"picture").digest(size)).decode()


def fault(**what: object) -> dict[str, str]:
    """A request field that makes the simulated provider misbehave."""
    return {"x-sim-faults": json.dumps(what)}


TRIP = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}
