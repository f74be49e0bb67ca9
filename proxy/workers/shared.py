"""What all workers share in memory: made in the supervisor before it forks, handed to each worker's Skinflint.

Rules: nothing in it needs a thread or an event loop at that time, and it survives the death of a worker at any
instruction. Here is the only place that decides what it is.
"""

from typing import Final

from config.schema import Settings
from proxy.stores.rule_board import RuleBoard
from proxy.stores.shared import SharedArena, SharedStore
from proxy.workers.claims import ClaimTable

_NEAR_SHARE: Final = 16  # of cache.memory.max_bytes, for what the workers keep opened


class SharedParts:
    """The shared parts of a proxy of `count` workers. `cache_bytes`: everything that cached answers may take."""

    def __init__(self, cache_bytes: int, count: int) -> None:
        self._near_bytes = cache_bytes // _NEAR_SHARE // count
        self._arena = SharedArena(cache_bytes - self._near_bytes * count)
        self.claims = ClaimTable()
        self.rules = RuleBoard()

    def store(self) -> SharedStore:
        """One worker's way to the answers that all of them have stored."""
        return SharedStore(self._arena, near_bytes=self._near_bytes)

    def on_worker_death(self, index: int) -> None:
        """The worker in this place is gone, whatever it held; called in the supervisor before it is replaced."""
        self.claims.release_place(index)


def make_shared(settings: Settings, count: int) -> SharedParts | None:
    """The shared parts of a proxy of `count` workers; None when they share nothing."""
    return SharedParts(settings.cache.memory.max_bytes, count) if count > 1 else None
