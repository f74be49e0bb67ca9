"""The process above several workers: makes what they share, binds, forks, minds them, and stops them in good order.

Rules: no thread and no event loop, so that a worker can be forked at any time. It serves nothing itself. SIGTERM and
SIGINT (and the end of `lifeline`) stop all workers within the drain limit, a second one at once; SIGHUP or a changed
file reloads all. A worker that ends is said once, counted and replaced. The exit status is 0 unless the workers could
not start.
"""

import os
import selectors
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from config.load import SettingsLoader
from config.prices import load_prices
from config.reload import ReloadWatcher
from config.schema import Settings
from proxy.admin.server import import_pages
from proxy.app import identity_of, runtime_of, try_out
from proxy.edge.master import ListenError
from proxy.identity import Identity
from proxy.ledger.prices import PriceBook
from proxy.logs import setup as setup_logs
from proxy.memory import settle as settle_memory
from proxy.process import Again
from proxy.runtime import BoundListener, Runtime
from proxy.workers.board import Board
from proxy.workers.count import worker_count
from proxy.workers.directory import private_directory
from proxy.workers.fleet import Death, Fleet, Worker
from proxy.workers.link import HURRY, READY, RELOAD, STOP, Link
from proxy.workers.listening import Listening
from proxy.workers.place import WorkerPlace
from proxy.workers.shared import SharedParts, make_shared
from proxy.workers.wakeup import Wakeup
from proxy.workers.worker import Post, live

log = structlog.get_logger(__name__)

_POLL_S: Final = 1.0
_SLACK_S: Final = 20.0  # after the drain limit: pools are closed, the ledger is written


def supervise(loader: SettingsLoader, on_ready: Callable[[Runtime], None], lifeline: int | None = None) -> int:
    """Run workers until SIGTERM, SIGINT or the end of the file `lifeline`; returns the exit status.

    Raises SettingsError or CaError before anything is started.
    """
    settings = loader.load()
    setup_logs(settings.log)
    count = worker_count(settings.workers)
    try_out(settings)
    identity = identity_of(settings)
    try:
        listening = Listening.bind(settings, count)
    except ListenError as failure:
        log.error("start_failed", reason=str(failure))
        return 1
    PriceBook(load_prices(settings.cost.prices)).warm()  # imported here, it is in memory once
    import_pages()
    with private_directory(settings.data_dir) as directory:
        supervisor = Supervisor(
            loader, settings, identity=identity, listening=listening, directory=directory, count=count
        )
        try:
            return supervisor.run(on_ready, lifeline)
        finally:
            listening.close()


class Supervisor:
    """See the module."""

    def __init__(
        self,
        loader: SettingsLoader,
        settings: Settings,
        *,
        identity: Identity,
        listening: Listening,
        directory: Path,
        count: int,
    ) -> None:
        self._loader = loader
        self._settings = settings
        self._identity = identity
        self._listening = listening
        self._directory = directory
        self._count = count
        self._started_at = time.time()
        self._shared: SharedParts | None = make_shared(settings, count)
        self._board = Board(count, supervisor=os.getpid())
        self._watcher = ReloadWatcher(loader, settings, self._apply)
        self._wakeup = Wakeup()
        self._again = Again()
        self._selector = selectors.DefaultSelector()
        self._fleet = Fleet(self._board, self._live, self._let_go, time.monotonic)
        self._is_announced = False
        self._failed_starts: set[int] = set()
        self._kill_at: float | None = None  # set when stopping
        self._status = 0

    def run(self, on_ready: Callable[[Runtime], None], lifeline: int | None) -> int:
        """Until the end; returns the exit status."""
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._on_signals)
        if lifeline is not None:
            self._selector.register(lifeline, selectors.EVENT_READ, lambda: self._on_lifeline(lifeline))
        settle_memory()  # pages that the collector does not touch stay shared with the workers
        try:
            while self._kill_at is None or self._fleet.workers:
                self._turn(on_ready)
        finally:
            self._fleet.tell(STOP)  # none is left, unless this process fails
            self._selector.close()
            self._wakeup.close()
        return self._status

    def _turn(self, on_ready: Callable[[Runtime], None]) -> None:
        if self._kill_at is None:
            for worker in self._fleet.fill():
                self._selector.register(worker.link.incoming, selectors.EVENT_READ, self._listener(worker))
        for key, _ in self._selector.select(self._wait_s()):
            key.data()
        self._bury()
        if self._kill_at is not None:
            if time.monotonic() >= self._kill_at:
                log.error("workers_killed", workers=self._fleet.kill(), reason="they did not stop in time")
                self._kill_at = time.monotonic() + _SLACK_S
            return
        self._reload()
        if not self._is_announced and all(self._board.is_ready(index) for index in range(self._count)):
            self._is_announced = True
            self._announce(on_ready)

    def _wait_s(self) -> float:
        moments = [time.monotonic() + _POLL_S]
        if self._kill_at is not None:
            moments.append(self._kill_at)
        elif (due_at := self._fleet.next_due_at) is not None:
            moments.append(due_at)
        return max(0.0, min(moments) - time.monotonic())

    # -- what happens

    def _on_signals(self) -> None:
        came = self._wakeup.signals()
        if came & {signal.SIGTERM, signal.SIGINT}:
            self._stop()
            if self._again.is_meant(time.monotonic()):
                self._fleet.tell(HURRY)
        elif signal.SIGHUP in came:
            self._reload(force=True)

    def _on_lifeline(self, lifeline: int) -> None:
        if not os.read(lifeline, 4096):
            self._selector.unregister(lifeline)
            self._stop()

    def _listener(self, worker: Worker) -> Callable[[], None]:
        def listen() -> None:
            said = worker.link.receive()
            if said is None:  # it is ending, which its exit status explains
                self._selector.unregister(worker.link.incoming)
            elif READY in said:
                self._fleet.became_ready(worker)

        return listen

    def _reload(self, *, force: bool = False) -> None:
        result = self._watcher.poll(force=force)
        if result.outcome != "unchanged":
            self._board.settings_changed(applied=result.outcome == "applied")

    def _apply(self, settings: Settings) -> None:
        """New settings for all workers, and for those that will replace them. Raises SettingsError, as they would."""
        self._identity.registry_for(settings)
        load_prices(settings.cost.prices)
        try_out(settings)
        self._settings = settings
        setup_logs(settings.log)
        self._fleet.tell(RELOAD)

    def _stop(self) -> None:
        if self._kill_at is None:
            limits = self._settings.drain
            self._kill_at = time.monotonic() + limits.linger_s + limits.timeout_s + _SLACK_S
            self._listening.close()
            self._fleet.tell(STOP)

    def _announce(self, on_ready: Callable[[Runtime], None]) -> None:
        pairs = zip(self._settings.listeners, self._listening.addresses(), strict=True)
        bound = tuple(BoundListener(listener.mode, address) for listener, address in pairs)
        admin = self._listening.admin_address
        log.info("ready", listeners=[each.address for each in bound], admin=admin, workers=self._count)
        on_ready(runtime_of(self._settings, self._identity, bound, admin, self._started_at))

    def _bury(self) -> None:
        for death in self._fleet.bury():
            worker = death.worker
            if worker.link.incoming in self._selector.get_map():
                self._selector.unregister(worker.link.incoming)
            worker.link.close()
            if self._shared is not None:
                self._shared.on_worker_death(worker.index)
            if self._kill_at is None:
                self._mourn(death)
            elif death.status != 0:
                log.error("worker_ended_badly", worker=worker.index, signal=death.signal, status=death.status)

    def _mourn(self, death: Death) -> None:
        """One ended that should not have."""
        worker = death.worker
        log.error("worker_died", worker=worker.index, pid=worker.pid, signal=death.signal, status=death.status)
        self._board.was_replaced(worker.index)
        if not worker.is_ready and not self._is_announced:
            self._failed_starts.add(worker.index)
            if len(self._failed_starts) == self._count:
                log.error("start_failed", reason="no worker could start")
                self._status = 1
                self._stop()

    # -- in a worker

    def _let_go(self, index: int) -> None:
        self._selector.close()
        self._wakeup.forget()
        self._listening.close_others(index)

    def _live(self, index: int, link: Link) -> int:
        place = WorkerPlace(index, self._count, self._directory)
        sockets = self._listening.of(index, self._board)
        return live(Post(place, self._settings, self._loader, self._identity, sockets, self._board, self._shared, link))
