"""The tier in this process: least recently used goes first, and everything an entry holds is counted."""

from collections import OrderedDict

from proxy.stores.base import Entry, StoreStats, size_of
from proxy.stores.listing import Kept, first_keys


class MemoryStore:
    """Bounded by bytes. An entry larger than an eighth of the bound is not kept: it would push out too much."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._entries: OrderedDict[bytes, tuple[Entry, int]] = OrderedDict()  # with what each takes
        self._used = 0
        self._evicted = 0

    async def get(self, key: bytes) -> Entry | None:
        return self.peek(key)

    def peek(self, key: bytes) -> Entry | None:
        """See Peeking: here, always what `get` gives."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    async def put(self, key: bytes, entry: Entry) -> None:
        size = size_of(entry, key)
        self._forget(key)
        if size > self._limit // 8:
            return
        self._entries[key] = (entry, size)
        self._used += size
        self._shrink()

    async def entries(self, after: bytes, limit: int) -> list[Kept]:
        """See Listing."""
        found = [(key, self._entries.get(key)) for key in await first_keys(list(self._entries), after, limit)]
        return [Kept(key, held[1], held[0]) for key, held in found if held is not None]

    async def delete(self, key: bytes) -> bool:
        return self._forget(key)

    def _forget(self, key: bytes) -> bool:
        found = self._entries.pop(key, None)
        if found is None:
            return False
        self._used -= found[1]
        return True

    async def clear(self) -> int:
        count = len(self._entries)
        self._entries.clear()
        self._used = 0
        return count

    def resize(self, limit_bytes: int) -> None:
        """A new bound, obeyed at once."""
        self._limit = limit_bytes
        self._shrink()

    def _shrink(self) -> None:
        while self._used > self._limit:
            _, (_, size) = self._entries.popitem(last=False)
            self._used -= size
            self._evicted += 1

    def stats(self) -> StoreStats:
        return StoreStats("memory", len(self._entries), self._used, self._limit, self._evicted)
