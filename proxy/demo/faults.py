"""What can go wrong at a provider, and how the simulator paces its answers.

Rules: `Options` hold for the whole simulator, `Faults` for the calls that match; the first match wins and is used up
after `times` calls. A client can bring its own in the field `x-sim-faults` (a JSON object with the same names), which a
proxy forwards like any unknown field. Unknown names are errors: a misspelt fault must not pass for health.
"""

from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Final, Literal

import orjson

from proxy.demo.asks import Call, as_json
from proxy.exchange.headers import text
from proxy.exchange.provider import Json

FIELD: Final = b"x-sim-faults"

type Failure = Literal["", "close", "reset", "refuse", "garbage"]


@dataclass(frozen=True, slots=True)
class Options:
    """How the simulator behaves towards everybody."""

    http2: bool = True  # offered by ALPN
    max_streams: int = 100  # HTTP/2 streams a client may have open on one connection
    latency_s: float = 0.0  # from the request's end to the answer's head
    events: int = 40  # words of an answer, and content events of a stream
    interval_s: float = 0.0  # between two events
    jitter: float = 0.0  # share of the interval by which it varies
    compress: bool = True  # bodies of more than 1 KB that come whole
    idle_close_s: float = 0.0  # silently close a connection that was idle this long; 0: never
    requests_per_connection: int = 0  # silently close after this many answers; 0: never
    goodbye_after: int = 0  # announce the end (Connection: close, GOAWAY) with this many answers; 0: never
    default_host: str = "api.openai.com"  # who answers when a client calls us by address or `localhost`
    keep_calls: int = 1000  # recorded calls; counters go on


@dataclass(slots=True)
class Faults:
    """What goes wrong with the calls that match `host` and `path` (wildcard patterns).

    failure: `close` ends the connection without a byte; `reset` does so by RST (HTTP/2: RST_STREAM); `refuse` is
        HTTP/2's REFUSED_STREAM, which promises that nothing was done (HTTP/1.1: like `close`); `garbage` sends bytes
        that are not HTTP and closes.
    """

    host: str = "*"
    path: str = "*"
    times: int = 0  # how often; 0: always
    latency_s: float | None = None  # instead of the option's
    status: int = 0  # an error in the provider's shape
    retry_after: str = ""  # goes with `status`
    failure: Failure = ""
    cut_after: int | None = None  # break off after this many pieces
    stall_after: int | None = None  # fall silent after this many pieces
    length_error: int = 0  # declare this many bytes more than there are
    close: bool = False  # announce the end of the connection with this answer
    hang_up: bool = False  # close right after the answer without a word
    goaway: bool = False  # HTTP/2: GOAWAY that leaves this and later streams undone, then close

    def matches(self, call: Call) -> bool:
        """True when this call is meant."""
        return fnmatchcase(call.host, self.host) and fnmatchcase(call.path, self.path)


NO_FAULTS: Final = Faults()


def faults_from(value: Json) -> Faults:
    """Faults from JSON. Raises ValueError for a name that does not exist."""
    known = {each.name for each in fields(Faults)}
    if unknown := sorted(set(value) - known):
        raise ValueError(f"unknown fault: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    return Faults(**value)  # type: ignore[arg-type]  # names are checked, and wrong types show in the first call


def options_from(base: Options, value: Json) -> Options:
    """Options changed by JSON. Raises ValueError for a name that does not exist."""
    known = {each.name for each in fields(Options)}
    if unknown := sorted(set(value) - known):
        raise ValueError(f"unknown option: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    values = {name: getattr(base, name) for name in known}
    return Options(**{**values, **value})


def choose(rules: list[Faults], call: Call) -> Faults:
    """The faults of this call; takes one use of the rule that is found."""
    if brought := text(call.headers, FIELD):
        return faults_from(as_json(orjson.loads(brought)))
    for rule in rules:
        if rule.matches(call):
            if rule.times == 1:
                rules.remove(rule)
            elif rule.times > 1:
                rule.times -= 1
            return rule
    return NO_FAULTS
