"""The workers as the supervisor knows them: forked, told, found dead.

Rules: forking is safe because this process has one thread and no event loop. A child lets go of everything that
belongs to the supervisor or to other workers before it does anything else, or their ends would go unnoticed.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from proxy.workers.backoff import Backoff
from proxy.workers.board import Board
from proxy.workers.link import Link
from proxy.workers.wakeup import HANDLED

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Worker:
    """One that runs."""

    index: int
    pid: int
    link: Link
    started_at: float  # monotonic seconds
    is_ready: bool = False


@dataclass(slots=True)
class Place:
    """Where a worker is, or will be at `due_at`."""

    index: int
    worker: Worker | None = None
    due_at: float = 0.0  # monotonic seconds
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class Death:
    """How a worker ended."""

    worker: Worker
    signal: str | None  # its name, when one ended it
    status: int | None


class Fleet:
    """All places. `live` is a child's whole life, and returns its exit status; `let_go` closes in it what is ours."""

    def __init__(
        self, board: Board, live: Callable[[int, Link], int], let_go: Callable[[int], None], clock: Callable[[], float]
    ) -> None:
        self.places = [Place(index) for index in range(board.count)]
        self._board = board
        self._live = live
        self._let_go = let_go
        self._clock = clock

    @property
    def workers(self) -> Sequence[Worker]:
        """Those that run."""
        return [place.worker for place in self.places if place.worker is not None]

    @property
    def next_due_at(self) -> float | None:
        """When the next place is to be filled; None when all are."""
        return min((place.due_at for place in self.places if place.worker is None), default=None)

    def fill(self) -> list[Worker]:
        """Fork a worker for each place that is due. One that the system has no room for is tried again later."""
        now = self._clock()
        begun = []
        for place in self.places:
            if place.worker is None and place.due_at <= now:
                try:
                    place.worker = self._fork(place.index)
                except OSError as failure:
                    place.due_at = now + place.backoff.delay_s(0.0)
                    log.error("worker_not_started", worker=place.index, reason=failure.strerror)
                else:
                    begun.append(place.worker)
        return begun

    def tell(self, order: bytes) -> None:
        """Say it to all that run."""
        for worker in self.workers:
            worker.link.send(order)

    def kill(self) -> list[int]:
        """End all that run, at once; returns their places."""
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
        return [worker.index for worker in self.workers]

    def became_ready(self, worker: Worker) -> None:
        """It has said so."""
        worker.is_ready = True
        self._board.became_ready(worker.index)

    def bury(self) -> list[Death]:
        """Take note of those that have ended, and decide when their places are filled again. Their links stay open."""
        deaths = []
        for place in self.places:
            worker = place.worker
            if worker is None:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                place.worker = None
                place.due_at = self._clock() + place.backoff.delay_s(self._clock() - worker.started_at)
                self._board.ended(place.index)
                deaths.append(_death(worker, os.waitstatus_to_exitcode(status)))
        return deaths

    def _fork(self, index: int) -> Worker:
        ours, theirs = Link.pair()
        sys.stdout.flush()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)  # until the child has made them its own
        try:
            pid = os.fork()
            if pid == 0:
                self._become(index, ours, theirs)
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
            theirs.close()
        self._board.began(index, pid)
        return Worker(index, pid, ours, self._clock())

    def _become(self, index: int, ours: Link, theirs: Link) -> None:
        """In the child: live, and end. Never returns."""
        status = 1
        try:
            ours.close()
            for worker in self.workers:
                worker.link.close()
            self._let_go(index)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
            status = self._live(index, theirs)
        finally:
            os._exit(status)


def _death(worker: Worker, code: int) -> Death:
    if code >= 0:
        return Death(worker, None, code)
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        name = str(-code)
    return Death(worker, name, None)
