"""Workers of one proxy for tests: the stages that share calls, each with peers of its own, all on the test's loop.

The claims and sockets between them are real; only the processes are not.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from addons.cache import CacheStage
from config.schema import Settings
from proxy.stores.base import Store
from proxy.stores.shared import SharedArena, SharedStore
from proxy.tasks import TaskSet
from proxy.workers.claims import ClaimTable
from proxy.workers.conversation import Patience
from proxy.workers.flights import SharedFlights
from proxy.workers.place import WorkerPlace
from tests.addons.streams import cost, no_renewals
from tests.support.sharers import Sharer, Sharers


class Worker(Sharer):
    """One of them."""

    def __init__(
        self, place: WorkerPlace, claims: ClaimTable, store: Store, settings: Settings, patience: Patience
    ) -> None:
        tasks = TaskSet()
        self.peers = SharedFlights(place, claims, patience)
        super().__init__(CacheStage(store, settings, tasks, cost, no_renewals()), settings, tasks, self.peers)


class Neighbours(Sharers):
    """Several workers, their claims and their cache."""

    def __init__(self, directory: Path, count: int, settings: Settings, patience: Patience) -> None:
        self.claims = ClaimTable()
        self.arena = SharedArena(1 << 20)
        self.directory = directory
        self.workers = [
            Worker(WorkerPlace(index, count, directory), self.claims, SharedStore(self.arena), settings, patience)
            for index in range(count)
        ]

    @property
    def all(self) -> list[Worker]:
        return self.workers

    @property
    def claimed(self) -> int:
        return self.claims.held()

    @property
    def followed(self) -> int:
        return sum(worker.peers.followers for worker in self.workers)


@contextlib.asynccontextmanager
async def neighbours(
    directory: Path, count: int = 2, settings: Settings | None = None, patience: Patience | None = None
) -> AsyncIterator[Neighbours]:
    """Until the block is left."""
    made = Neighbours(directory, count, settings or Settings(), patience or Patience())
    try:
        for worker in made.workers:
            await worker.peers.start()
        yield made
    finally:
        for worker in made.workers:
            await worker.peers.stop(0)
            await worker.tasks.cancel()
