"""The orders that the disk tier's writer has in hand: what one transaction carries out.

Rules: orders are carried out in the order they came. The hand is kept when that fails, and carried out when the disk
works again: by then nobody waits for it, but what was to be deleted is. What cannot be sealed, or is too large, takes
the older entry of its key away.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from proxy.stores.disk.file import DiskFile
from proxy.stores.disk.orders import Clear, Delete, Order, Put, Reached, Row, Step
from proxy.stores.sealing.dictionary import NO_DICTIONARY
from proxy.stores.sealing.sealer import Sealer

HAND_BYTES: Final = 4 * 1024 * 1024
HAND_ORDERS: Final = 1_024
DICTIONARIES: Final = 32  # in the file, of all processes together


class Hand:
    """For the writer's thread alone."""

    def __init__(self, sealer: Sealer, grace_s: float, clock: Callable[[], float]) -> None:
        self._sealer = sealer
        self._grace_s = grace_s
        self._clock = clock
        self.steps: list[Step] = []
        self._puts: list[Put] = []
        self._kept_keys: list[bytes] = []
        self._reached: threading.Event | None = None

    def take(self, queue: deque[Order], limit_bytes: int) -> None:
        """Fill it, up to where somebody waits in `Reached`."""
        size = 0
        now = int(self._clock())
        most = min(HAND_BYTES, limit_bytes // 16)
        while queue and self._reached is None and len(self.steps) < HAND_ORDERS:
            order = queue.popleft()
            if isinstance(order, Put):  # first: nearly all are
                self._puts.append(order)
                row = self._row(order, now)
                if row is None or row.size > limit_bytes // 8:
                    self.steps.append(Delete(order.key))
                    continue
                self.steps.append(row)
                size += row.size
                if size > most:
                    return
            elif isinstance(order, Reached):
                self._reached = order.event
            else:
                self.steps.append(order)

    def carry_out(self, file: DiskFile) -> list[tuple[Delete | Clear, int]]:
        """All of it, or nothing. Raises DiskFault."""
        results: list[tuple[Delete | Clear, int]] = []
        rows: list[Row] = []
        with file.transaction():
            for step in self.steps:
                if isinstance(step, Row):
                    rows.append(step)
                    continue
                if rows:
                    file.put(rows)
                    rows = []
                match step:
                    case Delete():
                        results.append((step, file.delete(step.key)))
                    case Clear():
                        results.append((step, file.clear()))
                        self._sealer.dictionaries.forget()
            if rows:
                file.put(rows)
            self._keep_dictionaries(file)
        return results

    def let_go(self) -> list[Put]:
        """It is empty now; returns what was put with it."""
        puts, self._puts, self.steps = self._puts, [], []
        return puts

    def kept_keys(self) -> list[bytes]:
        """Keys that were given up, and written all the same: nobody knows of them."""
        keys, self._kept_keys = self._kept_keys, []
        return keys

    def release(self) -> None:
        """All that came before is done, or given up."""
        if self._reached is not None:
            self._reached.set()
            self._reached = None

    def give_up(self, queue: deque[Order]) -> tuple[list[Put], list[Delete | Clear]]:
        """The disk fails: whoever waits is to be told. What waits in the queue is forgotten. Of what is in hand, half
        the answers are kept, so that it fits sooner or later."""
        puts, self._puts = self._puts, []
        rows = sum(isinstance(step, Row) for step in self.steps)
        surplus = rows // 2
        for at in reversed(range(len(self.steps))):
            if surplus and isinstance(self.steps[at], Row):
                del self.steps[at]
                surplus -= 1
        self._kept_keys = [step.key for step in self.steps if isinstance(step, Row)]
        orders = [step for step in self.steps if not isinstance(step, Row)]
        self.release()
        while queue:
            match queue.popleft():
                case Put() as put:
                    puts.append(put)
                case Reached(event):
                    event.set()
                case order:
                    orders.append(order)
        return puts, orders

    def _row(self, put: Put, now: int) -> Row | None:
        entry = put.entry
        try:
            content = self._sealer.seal(entry, put.key)
        except ValueError:
            return None
        keep_until = int(entry.stored_at + entry.ttl_s + self._grace_s) + 1
        return Row(put.key, content, now, keep_until)

    def _keep_dictionaries(self, file: DiskFile) -> None:
        """No entry is in the file without what opens it."""
        numbers = {Sealer.dictionary_of(step.content) for step in self.steps if isinstance(step, Row)}
        for number in numbers - {NO_DICTIONARY}:
            if file.select("SELECT 1 FROM dictionaries WHERE number = ?", (number,)):
                continue
            if (content := self._sealer.sealed_dictionary(number)) is not None:
                file.keep_dictionary(number, content, self._clock(), DICTIONARIES)
