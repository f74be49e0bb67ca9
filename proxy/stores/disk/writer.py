"""Writes the disk tier's file from a thread of its own, and keeps house in it.

Rules: orders are gathered for a moment and committed together. While the file cannot be used the tier is down, said in
one log line, and new orders are refused; what was in hand is written when it works again, which is said as well. A
corrupt file is set aside and a new one begun. Only this thread writes; it tells the event loop what has changed by
`Told`, whose methods are called in this thread.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import structlog

from proxy.sqlite_files import set_aside
from proxy.stores.base import StoreUnavailableError
from proxy.stores.disk import rules as disk_rules
from proxy.stores.disk.faults import DiskFault
from proxy.stores.disk.file import DiskFile
from proxy.stores.disk.hand import HAND_ORDERS, Hand
from proxy.stores.disk.house import DiskHouse
from proxy.stores.disk.orders import Clear, Delete, Order, Put, Totals
from proxy.stores.disk.reader import DiskReader
from proxy.stores.rules import Rule
from proxy.stores.sealing.sealer import Sealer

GATHER_S: Final = 1.0  # a crash of the process may lose as much
IDLE_S: Final = 2.0  # between looks for what other processes wrote
FIRST_RETRY_S: Final = 0.5
LAST_RETRY_S: Final = 30.0

type OpenFile = Callable[[Path], DiskFile]

log = structlog.get_logger(__name__)


class Told(Protocol):
    """Who is told what became of orders, and what else has changed."""

    def settled(self, puts: Sequence[Put], totals: Totals | None) -> None:
        """These are in the file, or never will be; and what is in it now."""
        ...

    def answered(self, order: Delete | Clear, result: int | StoreUnavailableError) -> None:
        """What became of it."""
        ...

    def opened(self) -> None:
        """There is a file, or another one."""
        ...

    def added_elsewhere(self, keys: Sequence[bytes], rules: Sequence[Rule]) -> None:
        """Another process has written these, or this one what it had given up."""
        ...


class DiskWriter:
    """`order`, `keep_rule` and the reading of attributes are for the event loop's thread; all else is the thread's."""

    def __init__(
        self,
        path: Path,
        *,
        limit_bytes: int,
        grace_s: float,
        sealer: Sealer,
        reader: DiskReader,
        told: Told,
        clock: Callable[[], float],
        open_file: OpenFile,
    ) -> None:
        self._path = path
        self.limit_bytes = limit_bytes
        self._sealer = sealer
        self._reader = reader
        self._told = told
        self._clock = clock
        self._open_file = open_file

        self.queue: deque[Order] = deque()
        self._rules: deque[Rule] = deque()
        self._wake = threading.Event()
        self._urgent = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cache-write", daemon=True)

        self._hand = Hand(sealer, grace_s, clock)
        self._file: DiskFile | None = None
        self._house = DiskHouse(clock)
        self.fault: DiskFault | None = None
        self._retry_s = FIRST_RETRY_S
        self.evicted = 0

    def start(self) -> None:
        """Start the thread, which opens the file. A file that cannot be opened is a tier that is down, not an error."""
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Has it been started, and not ended?"""
        return self._thread.is_alive() and not self._stopping.is_set()

    def order(self, order: Order) -> None:
        """Do it at once."""
        self.queue.append(order)
        self._urgent.set()
        self._wake.set()

    def put(self, put: Put, *, is_urgent: bool) -> None:
        """Do it with others, within a second; at once where much waits."""
        self.queue.append(put)
        waiting = len(self.queue)
        if waiting == 1:
            self._wake.set()
        if is_urgent or waiting == HAND_ORDERS:
            self._urgent.set()
            self._wake.set()

    def keep_rule(self, rule: Rule) -> None:
        """Write it, when the file works again if need be."""
        self._rules.append(rule)
        self._wake.set()

    def close(self, deadline_s: float) -> None:
        """Write what is ordered, and end. The thread is left behind when it hangs in the disk."""
        self._stopping.set()
        self._urgent.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(deadline_s)

    # -- the thread

    def _run(self) -> None:
        while True:
            is_last = self._stopping.is_set()  # read first: what was ordered before the end has its turn
            self._turn()
            if is_last:
                break
            if self.fault is not None:
                self._stopping.wait(self._retry_s)
            elif self._wake.wait(0 if self._house.has_more else IDLE_S):
                self._urgent.wait(GATHER_S)
            self._wake.clear()
            self._urgent.clear()
        self._refuse()
        self._let_go()

    def _turn(self) -> None:
        try:
            file = self._opened()
            self._keep_rules(file)
            self._drain(file)
            self._recover()
            self.evicted += self._house.keep(file, self.limit_bytes, self._reader.touched)
            self._look_elsewhere(file)
        except DiskFault as fault:
            self._fail(fault)
        except Exception as error:  # a thread that died of a bug would leave the tier up and deaf
            log.error("cache_writer_failed", tier="disk", error=type(error).__name__, exc_info=error)
            self._told.settled(self._hand.let_go(), None)
            self._fail(DiskFault(f"unexpected {type(error).__name__}", advice="report this as a bug"))

    def _opened(self) -> DiskFile:
        file = self._file
        if file is not None:
            file.check()
            if self._reader.fault is not None and self._reader.fault.is_corrupt:
                raise self._reader.fault
            return file
        file = self._file = self._open_file(self._path)
        if self.fault is not None:
            file.probe()
        self._house.begin(file)
        newest = file.select("SELECT number, content FROM dictionaries ORDER BY made_at DESC LIMIT 1")
        for number, content in newest:
            if isinstance(number, int) and isinstance(content, bytes):
                self._sealer.learn(number, content)
        self._reader.reopen()
        self._told.added_elsewhere((), self._house.rules(file))
        self._told.settled((), file.totals())
        self._told.opened()
        return file

    def _keep_rules(self, file: DiskFile) -> None:
        if self._rules:
            rules = list(self._rules)
            disk_rules.keep(file, rules)
            for _ in rules:
                self._rules.popleft()

    def _drain(self, file: DiskFile) -> None:
        hand = self._hand
        while hand.steps or self.queue:
            hand.take(self.queue, self.limit_bytes)
            if hand.steps:
                results = hand.carry_out(file)
                self._told.settled(hand.let_go(), file.totals())
                if keys := hand.kept_keys():
                    self._told.added_elsewhere(keys, ())
                for order, result in results:
                    self._told.answered(order, result)
            hand.release()

    def _look_elsewhere(self, file: DiskFile) -> None:
        keys, rules = self._house.elsewhere(file)
        if keys or rules:
            self._told.added_elsewhere(keys, rules)
        if self._house.has_changed:
            self._told.settled((), file.totals())

    # -- when it fails

    def _fail(self, fault: DiskFault) -> None:
        if fault.is_corrupt and (self._file is None or self._file.is_in_place()):
            self._let_go()
            if self._set_aside(fault):
                self._wake.set()
                self._urgent.set()
                return
        self._let_go()
        self._retry_s = FIRST_RETRY_S if self.fault is None else min(self._retry_s * 2, LAST_RETRY_S)
        is_news = self.fault is None
        self.fault = fault
        if is_news:
            log.error("cache_tier_down", tier="disk", file=str(self._path), reason=fault.reason, advice=fault.advice)
        self._refuse()

    def _set_aside(self, fault: DiskFault) -> bool:
        """Only the newest of those set aside is kept: they are as large as the cache."""
        for older in self._path.parent.glob(f"{self._path.name}.corrupt-*"):
            older.unlink(missing_ok=True)
        kept = set_aside(self._path, datetime.fromtimestamp(self._clock(), UTC))
        if kept is None:
            return False
        log.error("cache_corrupt", tier="disk", file=str(self._path), reason=fault.reason, set_aside=str(kept))
        return True

    def _recover(self) -> None:
        if self.fault is not None:
            self.fault = None
            log.info("cache_tier_back", tier="disk", file=str(self._path))

    def _refuse(self) -> None:
        """Whoever waits is told; what is in hand stays there, what is not is given up."""
        error = StoreUnavailableError("the disk tier is down")
        puts, orders = self._hand.give_up(self.queue)
        self._told.settled(puts, None)
        for order in orders:
            self._told.answered(order, error)

    def _let_go(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
            self._reader.reopen()
