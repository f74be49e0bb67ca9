"""The admin listener's answers for all workers together, given by whichever of them was asked.

Rules: it asks the others with a deadline, and answers without those that are silent: their counts are known from
what they left last. Every worker's own counts are left before they are told, so none ever falls.
"""

import asyncio
import time
from dataclasses import replace
from typing import Final

import orjson
import structlog
from prometheus_client.registry import Collector

from proxy.admin.answers import Cleared
from proxy.admin.condition import Reloads
from proxy.admin.views import Readiness, Views
from proxy.counters import Counters
from proxy.metrics import Labelled
from proxy.stores.invalidation import Invalidated
from proxy.stores.rules import Kind
from proxy.workers.board import Board
from proxy.workers.inquiry import Inquiries, ask, socket_of
from proxy.workers.place import WorkerPlace
from proxy.workers.samples import Exposed, Family, added, counting, families_of
from proxy.workers.told import Told, Totals, keep_totals, kept_totals, read_told, stats_of_all, written

log = structlog.get_logger(__name__)

_STATE_S: Final = 2.0
_READINESS_S: Final = 0.5  # probes have a second
_CLEAR_S: Final = 5.0
_KEEP_EVERY_S: Final = 0.25
_KEEP_SHARE: Final = 0.002  # of a processor, at most, for leaving counts: a millisecond each half second


class FleetAnswers:
    """See the module."""

    def __init__(
        self, place: WorkerPlace, board: Board, *, views: Views, registry: Collector, counters: Counters
    ) -> None:
        self._place = place
        self._board = board
        self._views = views
        self._registry = registry
        self._counters = counters
        self._file = place.directory / f"totals.{place.index}"
        self._before = kept_totals(self._file)
        counters.add(self._before.counted)
        self._timer: asyncio.TimerHandle | None = None
        self._seen = (0, 0)
        self._is_unkept = False
        answers = {b"state": self._state, b"ready": self._ready, b"clear": self._clear}
        self._inquiries = Inquiries(socket_of(place.directory, place.index), answers)

    async def start(self) -> None:
        """Answer the others, and leave what is counted from now on. Raises OSError."""
        await self._inquiries.start()
        self._timer = asyncio.get_running_loop().call_later(_KEEP_EVERY_S, self._keep)

    async def stop(self) -> None:
        """Leave the last counts, and answer no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._tell()
        await self._inquiries.stop()

    def _keep(self) -> None:
        """Leave what has been counted, if anything has."""
        began = time.thread_time()
        seen = (self._counters.total, len(self._views.bridge.connections))
        if seen != self._seen:
            self._tell()
            self._seen = seen
        pause_s = max(_KEEP_EVERY_S, (time.thread_time() - began) / _KEEP_SHARE)
        self._timer = asyncio.get_running_loop().call_later(pause_s, self._keep)

    # -- for operators

    async def readiness(self) -> Readiness:
        own = self._views.readiness()
        reasons = list(own.reasons)
        for index, answer in await self._others(b"ready", _READINESS_S):
            if answer is not None:
                reasons += [reason for reason in orjson.loads(answer) if reason not in reasons]
            elif own.ready:
                reasons.append(f"degraded: worker {index}: " + ("busy" if self._board.is_ready(index) else "starting"))
        return Readiness(own.ready, tuple(reasons))

    async def metrics(self) -> Collector:
        families = [*added(told.families for told in (await self._all()).values()), *self._own_families()]
        return Labelled(Exposed(families), self._views.labels())

    async def stats(self) -> dict[str, object]:
        workers = await self._all()
        return {
            **stats_of_all(list(workers.values()), workers[self._place.index].stats),
            "workers": [self._line(index, told) for index, told in workers.items()],
        }

    async def clear_cache(self) -> Cleared:
        told = await self._views.invalidate(Kind.ALL, "")  # which the others obey from now on
        unreached = list(told.unreached)
        entries = await self._views.clear_cache()
        for index, answer in await self._others(b"clear", _CLEAR_S):
            if answer is not None:
                entries += int(answer)
            elif self._board.is_ready(index):  # one that starts has nothing to forget
                unreached.append(f"worker {index}")
        return Cleared(entries, tuple(unreached))

    async def invalidate(self, kind: Kind, value: str) -> Invalidated:
        return await self._views.invalidate(kind, value)  # the rules are shared by all workers

    # -- for the other workers

    async def _state(self) -> bytes:
        return written(self._tell())

    async def _ready(self) -> bytes:
        return orjson.dumps([reason for reason in self._views.readiness().reasons if reason.startswith("degraded")])

    async def _clear(self) -> bytes:
        return b"%d" % await self._views.clear_cache()

    # -- parts

    def _tell(self) -> Told:
        """This worker's state; what it counts is left before anybody sees it."""
        live = families_of(self._registry)
        families = added([live, self._before.families])
        ledger = self._views.ledger.status() if self._views.ledger is not None else None
        totals = Totals(
            families=counting(families),
            counted=self._counters.counted(),
            ledger_written=self._before.ledger_written + (ledger.written if ledger else 0),
            ledger_lost=self._before.ledger_lost + (ledger.lost if ledger else 0),
        )
        self._leave(totals)
        readiness = self._views.readiness()
        return Told(replace(totals, families=[]), families, self._views.stats(), readiness.ready, readiness.reasons)

    def _leave(self, totals: Totals) -> None:
        """For whoever comes after this worker. Where nothing can be written its counts end with it."""
        try:
            keep_totals(self._file, totals)
        except OSError as failure:
            if not self._is_unkept:
                log.warning("totals_not_kept", file=str(self._file), reason=failure.strerror)
            self._is_unkept = True
        else:
            self._is_unkept = False

    async def _all(self) -> dict[int, Told]:
        """By place. Of one that is silent only what it left is known."""
        found = {self._place.index: self._tell()}
        for index, answer in await self._others(b"state", _STATE_S):
            if answer is not None:
                found[index] = read_told(answer)
            else:
                totals = kept_totals(self._place.directory / f"totals.{index}")
                found[index] = Told(totals, totals.families)
        return dict(sorted(found.items()))

    async def _others(self, question: bytes, deadline_s: float) -> list[tuple[int, bytes | None]]:
        others = [index for index in range(self._place.count) if index != self._place.index]

        async def answer(index: int) -> bytes | None:
            if not self._board.is_ready(index):
                return None
            return await ask(socket_of(self._place.directory, index), question, deadline_s)

        answers = await asyncio.gather(*(answer(index) for index in others))
        return list(zip(others, answers, strict=True))

    def _own_families(self) -> list[Family]:
        """What only the supervisor knows."""
        places = range(self._place.count)
        ready = float(sum(self._board.is_ready(index) for index in places))
        restarts = tuple(
            ("skinflint_worker_restarts_total", (("worker", str(index)),), float(self._board.restarts(index)))
            for index in places
        )
        return [
            Family(
                "skinflint_workers",
                "Worker processes that take connections.",
                "gauge",
                (("skinflint_workers", (), ready),),
            ),
            Family("skinflint_worker_restarts", "Workers that ended and were replaced.", "counter", restarts),
            *families_of(Reloads(*self._board.changes_of_settings())),
        ]

    def _line(self, index: int, told: Told) -> dict[str, object]:
        """What /v1/stats says of one worker."""
        return {
            "index": index,
            "pid": self._board.pid(index),
            "ready": self._board.is_ready(index),
            "restarts": self._board.restarts(index),
            "calls": sum(told.totals.counted.outcomes.values()),
            "client_connections": told.stats.get("client_connections"),
            "exchanges_in_flight": told.stats.get("exchanges_in_flight"),
        }
