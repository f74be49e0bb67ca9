"""Replicas of one fleet for tests: the stages that share calls, each with its own link to a real Redis, on one loop."""

import contextlib
from collections.abc import AsyncIterator

from addons.cache import CacheStage
from config.schema import Settings
from proxy.fleet.flights import FleetFlights
from proxy.fleet.link import LinkSettings, RedisLink
from proxy.fleet.store import RedisStore
from proxy.stores.admission import Admission
from proxy.stores.memory import MemoryStore
from proxy.stores.rules import Rules
from proxy.stores.sealing.keyfile import KeyFile
from proxy.stores.sealing.sealer import Sealer
from proxy.stores.tiers import Tiers
from proxy.tasks import TaskSet
from tests.addons.streams import cost, no_renewals
from tests.support.sharers import Sharer, Sharers
from tests.support.waiting import until

PREFIX = "test"
# Longer deadlines than the defaults: these are about what happens, on a machine that may be busy.
READ_S, WRITE_S = 0.5, 0.5


class Replica(Sharer):
    """One of them."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.link = RedisLink(LinkSettings(url, read_timeout_s=READ_S, write_timeout_s=WRITE_S)).start()
        tasks = TaskSet()
        self.store = Tiers(MemoryStore(1 << 20), [RedisStore(self.link, prefix=PREFIX)], Rules(), tasks, Admission())
        keys = settings.cache.encryption.key_file
        sealer = Sealer(None if keys is None else KeyFile(keys))
        self.peers = FleetFlights(self.link, PREFIX, settings.collapse, sealer, self.store.written)
        cache = CacheStage(self.store, settings, tasks, cost, no_renewals(), stamp=lambda: self.store.rules.stamp)
        super().__init__(cache, settings, tasks, self.peers)

    async def vanish(self) -> None:
        """As a process that is killed: nothing is said or heard from now on."""
        await self.peers._keeping.cancel()
        await self.link.close()

    async def stop(self) -> None:
        """Leave."""
        await self.peers.stop(0)
        await self.tasks.cancel()
        await self.link.close()


class Fleet(Sharers):
    """All of them."""

    def __init__(self, urls: list[str], settings: Settings) -> None:
        self.replicas = [Replica(url, settings) for url in urls]

    @property
    def all(self) -> list[Replica]:
        return self.replicas

    @property
    def claimed(self) -> int:
        return sum(replica.peers.now.led for replica in self.replicas)

    @property
    def followed(self) -> int:
        return sum(replica.peers.now.replayed for replica in self.replicas)


@contextlib.asynccontextmanager
async def fleet(*urls: str, settings: Settings | None = None) -> AsyncIterator[Fleet]:
    """Replicas at these places, until the block is left."""
    made = Fleet(list(urls), settings or Settings())
    try:
        for replica in made.replicas:
            replica.peers.start()
        await until(lambda: all(each.link.stats().connections >= 3 for each in made.replicas), "all have connected")
        yield made
    finally:
        for replica in made.replicas:
            await replica.stop()
