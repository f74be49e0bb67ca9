"""The tiers as one store: this process's memory first, then those outside it, in the order given.

Rules: what is found further out is put into the tiers before it; what is stored goes to the first one at once, and to
the others behind the call, as far as `admission` lets it. A tier that cannot answer counts as one that has nothing: it
has its own deadline and its own breaker. No entry that a rule of invalidation covers is ever given or kept, wherever it
comes from. An answer past its time to live is only given when no tier has a newer one. What `admission` keeps from the
outer tiers at first goes there when it is asked for again in memory, once.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from proxy.stores.admission import LEAST_SHARE, Admission
from proxy.stores.base import Entry, Offered, Peeking, Store, StoreStats, StoreUnavailableError
from proxy.stores.listing import Listing
from proxy.stores.rules import Rules
from proxy.tasks import TaskSet

type Offer = Callable[[bytes, Entry], None]

_PENDING_BYTES: Final = 33_554_432  # on their way to the outer tiers; beyond it they are not written there
_WITHHELD: Final = 1_024  # answers that are written when they are asked for again; of more the first are forgotten


class NearStore(Store, Peeking, Listing, Protocol):
    """The tier in this process's own memory, or in memory that all workers share."""


class Tiers:
    """See the module. A Store itself, and Peeking."""

    def __init__(
        self,
        near: NearStore,
        outer: Sequence[Store],
        rules: Rules,
        tasks: TaskSet,
        admission: Admission,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.near = near
        self.outer = tuple(outer)
        self.rules = rules
        self._tasks = tasks
        self._admission = admission
        self._clock = clock
        self._offers: dict[Store, Offer] = {store: store.offer for store in outer if isinstance(store, Offered)}
        self._pending_bytes = 0
        self._writing: Counter[bytes] = Counter()  # writes under way
        self._withheld: dict[bytes, None] = {}  # answers in memory that no outer tier was given
        self._waiting: dict[bytes, list[asyncio.Future[None]]] = {}  # for them to end
        self.dropped = 0  # writes to outer tiers that were not made, because too many were under way

    def peek(self, key: bytes) -> Entry | None:
        """See Peeking: what the first tier has, unless it is dead."""
        entry = self.near.peek(key)
        if entry is not None and entry.epoch < self.rules.stamp and self.rules.is_dead(key, entry):
            return None
        if self._withheld and entry is not None:
            self._give_out(key, entry)
        return entry

    async def get(self, key: bytes) -> Entry | None:
        found = await self.get_near(key)
        if not self.outer or (found is not None and found.age(self._clock()) <= found.ttl_s):
            return found
        return await self._further_out(key, found)

    async def get_near(self, key: bytes) -> Entry | None:
        """What the first tier has."""
        found = await self.near.get(key)
        if found is not None and self.rules.is_dead(key, found):
            await self.near.delete(key)
            found = None
        if found is None:
            self._admission.asked(key)
        elif self._withheld:
            self._give_out(key, found)
        return found

    async def _further_out(self, key: bytes, found: Entry | None) -> Entry | None:
        for index, store in enumerate(self.outer):
            try:
                entry = await store.get(key)
            except StoreUnavailableError:
                continue
            if entry is None or self.rules.is_dead(key, entry):
                continue
            if found is not None and entry.stored_at <= found.stored_at:
                continue
            self._write(key, entry, self.outer[:index])
            await self.near.put(key, entry)
            found = entry
            if entry.age(self._clock()) <= entry.ttl_s:
                break
        return found

    async def put(self, key: bytes, entry: Entry) -> None:
        if self.rules.is_dead(key, entry):
            return  # it was invalidated while it was under way
        self._writing[key] += 1
        try:
            await self.near.put(key, entry)
            self._admit(key, entry)
        finally:
            self._wrote(key)

    def admits(self, store: Store, entry: Entry) -> bool:
        """May this outer tier keep it?"""
        return self._admission.admits(store, entry)

    def _admit(self, key: bytes, entry: Entry) -> None:
        stores = [store for store in self.outer if self.admits(store, entry)]
        if not stores:
            return
        share = self._admission.share(key, entry)
        if share > 0.0:
            self._withheld.pop(key, None)
            self._write(key, _shortened(entry, share), stores)
            return
        self._withheld[key] = None
        if len(self._withheld) > _WITHHELD:
            del self._withheld[next(iter(self._withheld))]

    def _give_out(self, key: bytes, entry: Entry) -> None:
        """It was withheld, and is asked for again."""
        if key in self._withheld:
            del self._withheld[key]
            stores = [store for store in self.outer if self.admits(store, entry)]
            self._write(key, _shortened(entry, max(LEAST_SHARE, self._admission.share(key, entry))), stores)

    def _write(self, key: bytes, entry: Entry, stores: Sequence[Store]) -> None:
        size = len(entry.body)
        for store in stores:
            if (offer := self._offers.get(store)) is not None:
                with contextlib.suppress(StoreUnavailableError):  # counted and said by the tier itself
                    offer(key, entry)
                continue
            if self._pending_bytes + size > _PENDING_BYTES:
                self.dropped += 1
                continue
            self._pending_bytes += size
            self._writing[key] += 1
            self._tasks.spawn(self._put(store, key, entry, size), name="cache write")

    async def _put(self, store: Store, key: bytes, entry: Entry, size: int) -> None:
        try:
            await store.put(key, entry)
        except StoreUnavailableError:
            return  # counted and said by the tier itself
        finally:
            self._pending_bytes -= size
            self._wrote(key)

    async def written(self, key: bytes) -> None:
        """Return when nothing is being written under this key any more, in any tier."""
        while key in self._writing:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(key, []).append(waiting)
            await waiting

    def _wrote(self, key: bytes) -> None:
        self._writing[key] -= 1
        if self._writing[key]:
            return
        del self._writing[key]
        for waiting in self._waiting.pop(key, ()):
            if not waiting.done():
                waiting.set_result(None)

    async def delete(self, key: bytes) -> bool:
        self._withheld.pop(key, None)
        was_there = await self.near.delete(key)
        for store in self.outer:
            try:
                was_there = await store.delete(key) or was_there
            except StoreUnavailableError:
                continue
        return was_there

    async def clear(self) -> int:
        """The first tier at once; returns how many answers it had. The others behind it, to free their room: what they
        still give is none of it, if a rule for everything was added before."""
        self._withheld.clear()
        count = await self.near.clear()
        for store in self.outer:
            self._tasks.spawn(self._clear(store), name="cache clear")
        return count

    @staticmethod
    async def _clear(store: Store) -> None:
        with contextlib.suppress(StoreUnavailableError):  # counted and said by the tier itself
            await store.clear()

    def stats(self) -> StoreStats:
        return self.near.stats()

    def each_stats(self) -> list[StoreStats]:
        """Of each tier, in order."""
        return [self.near.stats(), *[store.stats() for store in self.outer]]


def _shortened(entry: Entry, share: float) -> Entry:
    return entry if share >= 1.0 else replace(entry, ttl_s=entry.ttl_s * share)
