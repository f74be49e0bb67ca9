"""The simulator's own paths, through which another process reads its counters and sets what goes wrong.

GET /__sim/stats · GET /__sim/calls · POST /__sim/reset · POST /__sim/faults (a JSON array of faults; replaces all) ·
POST /__sim/options (a JSON object; changes what it names). They are never counted as calls.
"""

from collections import deque
from typing import Final, Protocol

import orjson

from proxy.demo.asks import Answer, Call, as_json, as_list, whole
from proxy.demo.faults import Faults, Options, faults_from, options_from
from proxy.demo.server import CONTROL
from proxy.exchange.provider import Json

PREFIX: Final = CONTROL.decode()


class Controlled(Protocol):
    """What is read and set here."""

    options: Options
    faults: list[Faults]

    @property
    def calls(self) -> deque[Call]:
        """The latest calls."""
        ...

    def stats(self) -> Json:
        """All counters."""
        ...

    def reset(self) -> None:
        """Forget calls, counters and faults."""
        ...


def control(simulator: Controlled, method: str, target: str, body: bytes) -> Answer:
    """Answer a request for one of the control paths."""
    try:
        match method, target.removeprefix(PREFIX).partition("?")[0]:
            case "GET", "stats":
                return whole(simulator.stats())
            case "GET", "calls":
                return whole([_shown(call) for call in simulator.calls])
            case "POST", "reset":
                simulator.reset()
            case "POST", "faults":
                simulator.faults[:] = [faults_from(as_json(item)) for item in as_list(orjson.loads(body))]
            case "POST", "options":
                simulator.options = options_from(simulator.options, as_json(orjson.loads(body)))
            case _:
                return whole({"error": "no such control path"}, status=404)
    except ValueError as exc:
        return whole({"error": str(exc)}, status=400)
    return whole({"ok": True})


def _shown(call: Call) -> Json:
    return {
        "number": call.number,
        "host": call.host,
        "method": call.method,
        "target": call.target,
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in call.headers],
        "body": call.body.decode("utf-8", "replace"),
        "http_version": call.http_version,
        "connection_id": call.connection_id,
    }
