"""Which calls reached the simulator: the latest in full, all of them in numbers.

Rules: numbers never shrink but by `clear`; both kinds are bounded.
"""

import time
from collections import Counter, deque
from typing import Final

from proxy.demo.asks import Call
from proxy.demo.traffic import Received
from proxy.exchange.provider import Json

_MAX_COUNTED: Final = 10_000  # distinct (method, host, path); more are counted under the path "*"


class CallLog:
    """See the module."""

    def __init__(self, keep: int) -> None:
        self.latest: deque[Call] = deque(maxlen=keep)
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._number = 0

    def record(self, received: Received, host: str, target: str) -> Call:
        """Note a request as a call of its own number."""
        head = received.head
        self._number += 1
        call = Call(
            number=self._number,
            host=host,
            method=head.method.decode("latin-1"),
            target=target,
            headers=head.headers,
            body=received.body,
            http_version=head.http_version,
            connection_id=received.connection_id,
            at=time.time(),
        )
        key = (call.method, host, call.path)
        if len(self._counts) >= _MAX_COUNTED and key not in self._counts:
            key = (call.method, host, "*")
        self._counts[key] += 1
        self.latest.append(call)
        return call

    def count(self, *, path: str | None, host: str | None, method: str | None) -> int:
        """Calls that match all that is given."""
        return sum(
            count
            for (seen_method, seen_host, seen_path), count in self._counts.items()
            if path in (None, seen_path) and host in (None, seen_host) and method in (None, seen_method)
        )

    def rows(self) -> list[Json]:
        """The counts, for JSON."""
        return [
            {"method": method, "host": host, "path": path, "count": count}
            for (method, host, path), count in self._counts.items()
        ]

    def clear(self) -> None:
        """Forget all; numbering goes on."""
        self._counts.clear()
        self.latest.clear()
