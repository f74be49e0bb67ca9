"""Workers of one proxy for tests: the stages that share calls, each with peers of its own, all on the test's loop.

The claims and sockets between them are real; only the processes are not.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from addons.cache import CacheStage
from addons.cache_again import CacheAgain
from addons.collapse import Collapse
from addons.observe import Observe
from config.schema import Settings
from proxy.exchange.model import Exchange, Response
from proxy.stores.base import Store
from proxy.stores.shared import SharedArena, SharedStore
from proxy.tasks import TaskSet
from proxy.workers.claims import ClaimTable
from proxy.workers.conversation import Patience
from proxy.workers.flights import SharedFlights
from proxy.workers.place import WorkerPlace
from tests.addons.streams import cost, no_renewals
from tests.support.exchanges import SSE, Fed, answer, calling


class Worker:
    """One of them. `bodies`: what its calls upstream are answered with, fed by the test."""

    def __init__(
        self, place: WorkerPlace, claims: ClaimTable, store: Store, settings: Settings, patience: Patience
    ) -> None:
        self.tasks = TaskSet()
        self.peers = SharedFlights(place, claims, patience)
        cache = CacheStage(store, settings, self.tasks, cost, no_renewals())
        self.stage = Collapse(settings, self.tasks, self.peers)
        self.below = (self.stage, CacheAgain(cache), Observe(TaskSet()))
        self._stages = (cache, *self.below)
        self.bodies: list[Fed] = []
        self.answers: list[Response | Exception] = []

    def readers(self) -> int:
        """How many share the calls that this one makes, peers included."""
        return sum(flight.readers for flight in self.stage._flights.values())

    async def origin(self, called: Exchange) -> Response:
        """Gives the scripted answers, then streams that the test feeds."""
        if self.answers:
            scripted = self.answers.pop(0)
            if isinstance(scripted, Exception):
                raise scripted
            return scripted
        self.bodies.append(Fed())
        return answer(self.bodies[-1], headers=SSE)

    async def ask(self, called: Exchange) -> Response:
        """What the edge does."""
        return await calling(*self._stages, end=self.origin)(called)


class Neighbours:
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
    def upstream_calls(self) -> int:
        """Streams that were begun upstream by all of them."""
        return sum(len(worker.bodies) for worker in self.workers)


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
