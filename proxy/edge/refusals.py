"""Saying no to a client: how it is answered, counted and logged.

Rules: the answer names the reason in RFC 9209's words; every refusal is counted; of those that come in a flood only the
first ones of each minute are logged, and how many were not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from proxy.access.gate import Why
from proxy.metrics import Metrics

log = structlog.get_logger(__name__)

_WINDOW_S: Final = 60.0
_LINES: Final = 20  # in each window
_HOST_CHARACTERS: Final = 253  # the client's own words
_CHALLENGE: Final = (
    (b"proxy-authenticate", b'Basic realm="skinflint", charset="UTF-8"'),
    (b"proxy-authenticate", b'Bearer realm="skinflint"'),
)


@dataclass(frozen=True, slots=True)
class Denied:
    """One refusal. `reason` is the metric's word, `error` RFC 9209's."""

    reason: str
    status: int
    error: str
    message: str

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Of the answer, besides those about its body."""
        challenge = list(_CHALLENGE) if self.status == 407 else []
        return [*challenge, (b"proxy-status", b"skinflint; error=" + self.error.encode())]

    def answer(self) -> bytes:
        """To a CONNECT."""
        words = b"Proxy Authentication Required" if self.status == 407 else b"Forbidden"
        body = self.message.encode() + b"\n"
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in self.fields)
        return b"HTTP/1.1 %d %s\r\n%scontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (
            self.status,
            words,
            lines,
            len(body),
            body,
        )


_UNKNOWN: Final = {
    Why.CREDENTIALS: (407, "This proxy wants a token that it knows (Skinflint, access.credentials)."),
    Why.SOURCE: (403, "This proxy does not know your address (Skinflint, access.sources)."),
    Why.CERTIFICATE: (403, "This proxy does not know your certificate (Skinflint, access.certificates)."),
}

UNREACHABLE: Final = Denied(
    "destination",
    403,
    "http_request_denied",
    "This proxy does not lead to that destination (Skinflint, destinations.allow).",
)


def stranger(why: Why) -> Denied:
    """The refusal of a client that is not known."""
    status, message = _UNKNOWN[why]
    return Denied(why.value, status, "http_request_denied", message)


class Refusals:
    """Counts and tells. `clock` is monotonic."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._counter = metrics.refused
        self._clock = clock
        self._since = clock()
        self._lines = 0
        self._untold = 0

    def count(self, reason: str, *, client: str = "", host: str = "", port: int = 0) -> None:
        """One more."""
        self._counter.labels(reason).inc()
        now = self._clock()
        if now - self._since >= _WINDOW_S:
            self._since, self._lines = now, 0
        if self._lines >= _LINES:
            self._untold += 1
            return
        self._lines += 1
        untold, self._untold = self._untold, 0
        told = {"client": client, "host": host[:_HOST_CHARACTERS], "port": port, "untold_before": untold}
        log.warning("refused", reason=reason, **{name: value for name, value in told.items() if value})
