"""renewals: calls that nobody waits for, which bring a stored answer up to date.

Rules: one at a time for an answer, and a bounded number in all; what finds no room is left for the next call that
asks. A renewal is a call of its own, with a row of its own in the ledger (`refresh`): it is paid. One that failed is
not tried again at once, so that an origin in trouble is not asked more often for the sake of freshness.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from proxy.exchange.chain import Handler
from proxy.exchange.errors import ExchangeError
from proxy.exchange.forward import forward
from proxy.exchange.model import Exchange, Watcher
from proxy.exchange.record import Outcome
from proxy.tasks import TaskSet

_PAUSE_S: Final = 5.0  # after one that failed
_MOST_PAUSED: Final = 1_024


class Renewals:
    """`settle`: takes each renewal when it has ended, as the meter takes every exchange. Clocks: seconds, monotonic and
    since the epoch."""

    def __init__(
        self,
        tasks: TaskSet,
        settle: Callable[[Exchange], None],
        limit: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._tasks = tasks
        self._settle = settle
        self._limit = limit
        self._clock = clock
        self._wall_clock = wall_clock
        self._under_way: set[bytes] = set()
        self._paused: OrderedDict[bytes, float] = OrderedDict()  # key: until when

    def start(self, asked: Exchange, key: bytes, call_next: Handler, watcher: Callable[[Exchange], Watcher]) -> bool:
        """Make the call of `asked` once more, behind it; `watcher` makes what stores the answer. False: not now."""
        if key in self._under_way or len(self._under_way) >= self._limit:
            return False
        if self._paused.get(key, 0.0) > self._clock():
            return False
        self._under_way.add(key)
        renewal = self._copy(asked)
        renewal.watchers.append(watcher(renewal))
        self._tasks.spawn(self._run(renewal, key, call_next), name="renewal")
        return True

    async def _run(self, renewal: Exchange, key: bytes, call_next: Handler) -> None:
        has_succeeded = False
        try:
            response = await call_next(renewal)
            renewal.status = response.status
            renewal.first_byte_at = self._clock()
            if not isinstance(response.body, bytes):
                await forward(response.body, response.taps, _Nowhere())
            has_succeeded = 200 <= response.status < 300
        except ExchangeError as failure:
            renewal.error = failure.code
        finally:
            self._under_way.discard(key)
            if not has_succeeded:
                self._pause(key)
            renewal.finish(self._clock())

    def _pause(self, key: bytes) -> None:
        self._paused[key] = self._clock() + _PAUSE_S
        self._paused.move_to_end(key)
        if len(self._paused) > _MOST_PAUSED:
            self._paused.popitem(last=False)

    def _copy(self, asked: Exchange) -> Exchange:
        call_id = f"{asked.id[:12]}r{asked.id[13:]}"  # in order of time, and no other's: theirs are hexadecimal
        request = asked.request.changed(list(asked.request.headers), asked.request.body)
        renewal = asked.on_behalf(call_id, request, self._clock(), self._wall_clock())
        renewal.json, renewal.fingerprint, renewal.collapses = asked.json, asked.fingerprint, asked.collapses
        renewal.outcome, renewal.cache_status = Outcome.REFRESH, "fwd=stale"
        renewal.on_finished.append(self._settle)
        return renewal


class _Nowhere:
    """A sink that takes everything: the body is read for its taps alone."""

    def write(self, chunk: bytes) -> bool:
        return True

    async def drain(self) -> None:
        """Never full."""
