"""Everything that keeps answers, as long as the process lives: the tiers, the rules of invalidation, the fleet.

Rules: made from settings that cannot change while it runs. The disk tier is opened, and the fleet joined, before the
listeners are: what they know of invalidations comes before the first answer from them. Neither keeps a proxy from
starting.
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from config.schema import Settings
from proxy.admin.stock import Stock
from proxy.admin.token import AdminToken
from proxy.fleet.flights import FleetFlights
from proxy.fleet.key import kept_key, key_of_file
from proxy.fleet.membership import Membership
from proxy.fleet.store import RedisStore
from proxy.stores.admission import Admission
from proxy.stores.base import Store
from proxy.stores.disk.store import DiskStore
from proxy.stores.invalidation import Invalidations, RuleKeeper
from proxy.stores.listing import Listing
from proxy.stores.memory import MemoryStore
from proxy.stores.popularity import Popularity
from proxy.stores.rule_board import SharedRules
from proxy.stores.rules import Rule, Rules
from proxy.stores.sealing.dictionary import Dictionaries
from proxy.stores.sealing.keyfile import KeyFile
from proxy.stores.sealing.sealer import Sealer
from proxy.stores.tiers import NearStore, Tiers
from proxy.tasks import TaskSet
from proxy.workers.shared import SharedParts

if TYPE_CHECKING:
    from proxy.semantic.shared import SharedIndex

log = structlog.get_logger(__name__)

_DISK_OPEN_S: Final = 2.0
_FLEET_KEY: Final = "fleet.key"
_VECTORS_KEPT_S: Final = 7 * 86_400  # of one caller, after the last was added


class CacheParts:
    """See the module. `own_key`: of this installation's digests; `on_key` is told when the fleet has another one."""

    def __init__(
        self,
        settings: Settings,
        shared: SharedParts | None,
        tasks: TaskSet,
        own_key: bytes,
        on_key: Callable[[], None],
    ) -> None:
        """Raises SettingsError."""
        cache = settings.cache
        self._on_key = on_key
        self.key = self._first_key(settings, own_key)
        self.rules = Rules() if shared is None else SharedRules(shared.rules)
        popularity = Popularity()
        self.near: NearStore = MemoryStore(cache.memory.max_bytes, popularity) if shared is None else shared.store()
        keys = KeyFile(cache.encryption.key_file) if cache.encryption.key_file is not None else None
        self._sealers: list[Sealer] = []
        outer: list[Store] = []
        keepers: list[RuleKeeper] = []
        self.fleet: Membership | None = None
        if cache.redis.url is not None:
            self.fleet = Membership(
                cache,
                self._heard_of_fleet,
                tasks,
                key=self.key,
                key_path=None if cache.key_file is not None else settings.data_dir / _FLEET_KEY,
                on_key=self._take_key,
            )
            # Another replica could not open what a dictionary of this one was used for.
            sealer = self._sealer(keys, Dictionaries(trains=False))
            outer.append(
                RedisStore(
                    self.fleet.link,
                    prefix=cache.redis.prefix,
                    max_entry_bytes=cache.redis.max_entry_bytes,
                    grace_s=_grace_s(settings),
                    sealing=sealer,
                    may_answer=self.fleet.rules.may_answer,
                )
            )
            keepers.append(self.fleet.rules)
        self._carrier = self._sealer(keys, Dictionaries(trains=False))
        self.disk: DiskStore | None = None
        if cache.disk.max_bytes and cache.enabled:
            self.disk = DiskStore(
                cache.disk.path or settings.data_dir / "cache.sqlite",
                cache.disk.max_bytes,
                self._sealer(keys, Dictionaries()),
                grace_s=_grace_s(settings),
                read_timeout_s=cache.disk.read_timeout_s,
                on_rules=self._hear,
            )
            outer.append(self.disk)
            keepers.append(_OnDisk(self.disk))
        sealed = outer if keys is not None else ()
        self.store = Tiers(self.near, outer, self.rules, tasks, Admission(sealed, popularity))
        self.invalidations = Invalidations(self.store, keepers, clock=time.time)
        self.flights: FleetFlights | None = None
        if self.fleet is not None and settings.collapse.enabled and settings.collapse.fleet:
            self.flights = FleetFlights(
                self.fleet.link,
                cache.redis.prefix,
                settings.collapse,
                self._sealer(keys, Dictionaries(trains=False)),
                self.store.written,
            )

    def stock(self, token: AdminToken) -> Stock:
        """What operators may do with single entries."""
        listings: dict[str, Listing] = {self.near.stats().tier: self.near}
        if self.disk is not None:
            listings[self.disk.stats().tier] = self.disk
        return Stock(self.store, listings, self._carrier, lambda: self.key, token, time.time)

    def vectors(self, settings: Settings) -> "SharedIndex | None":
        """Where replicas share what they were asked, if the settings want that."""
        if self.fleet is None or not settings.cache.redis.vectors:
            return None
        from proxy.semantic.linked import LinkCommands  # noqa: PLC0415  # who does not use it has not loaded it
        from proxy.semantic.shared import RedisVectors  # noqa: PLC0415

        return RedisVectors(LinkCommands(self.fleet.link), settings.cache.redis.prefix, _VECTORS_KEPT_S)

    def _first_key(self, settings: Settings, own_key: bytes) -> bytes:
        cache = settings.cache
        if cache.key_file is not None:
            return key_of_file(cache.key_file)
        known = kept_key(settings.data_dir / _FLEET_KEY) if cache.redis.url is not None else None
        return known or own_key

    def _sealer(self, keys: KeyFile | None, dictionaries: Dictionaries) -> Sealer:
        sealer = Sealer(keys, dictionaries)
        self._sealers.append(sealer)
        return sealer

    # -- life

    async def start(self) -> None:
        """Open the disk tier and join the fleet, each for a moment at most; they are taken in when they are there."""
        if self.disk is not None:
            self.disk.start()
            await self.disk.ready(_DISK_OPEN_S)
        if self.fleet is not None:
            await self.fleet.start()
        if self.flights is not None:
            self.flights.start()

    def apply(self, settings: Settings) -> None:
        """What can change while it runs."""
        if isinstance(self.near, MemoryStore):  # what workers share is made before they are
            self.near.resize(settings.cache.memory.max_bytes)

    async def tend(self) -> None:
        """Called about once a second."""
        for sealer in self._sealers:
            sealer.refresh()
        if self.fleet is not None:
            await self.fleet.tend()

    async def stop(self, deadline_s: float) -> None:
        """Write what waits, leave the fleet."""
        if self.disk is not None:
            await self.disk.close(deadline_s)
        if self.fleet is not None:
            await self.fleet.stop()

    def _take_key(self, key: bytes) -> None:
        self.key = key
        log.info("fleet_key_taken", effect="answers cached under this replica's own key are not found any more")
        self._on_key()

    def _heard_of_fleet(self, rule: Rule) -> None:
        """It must outlive what this replica has on its disk. Raises TimeoutError."""
        if not self.rules.knows(rule):
            self.rules.add(rule)
            if self.disk is not None:
                self.disk.add_rule(rule)

    def _hear(self, rules: Sequence[Rule]) -> None:
        for rule in rules:
            try:
                self.rules.add(rule)
            except TimeoutError:
                log.warning("rule_not_shared", reason="the rules shared by all workers are busy")


class _OnDisk:
    """The disk tier as a RuleKeeper: a rule is written as soon as the disk works."""

    name = "disk"

    def __init__(self, disk: DiskStore) -> None:
        self._disk = disk

    async def keep(self, rule: Rule) -> Rule:
        self._disk.add_rule(rule)
        return rule


def _grace_s(settings: Settings) -> float:
    """How long an answer may be of use past its time to live: the longest window of any policy."""
    cache = settings.cache
    windows = [cache.stale_while_revalidate_s, cache.stale_if_error_s]
    for policy in (*cache.operations.values(), *(route.policy for route in settings.routes)):
        windows += [policy.stale_while_revalidate_s or 0.0, policy.stale_if_error_s or 0.0]
    return max(windows)
