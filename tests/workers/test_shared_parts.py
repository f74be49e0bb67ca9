"""What the supervisor makes for its workers: within the bound, and freed of the dead."""

from proxy.workers.claims import owner_of
from proxy.workers.shared import SharedParts, make_shared
from tests.stores.test_memory import entry, key
from tests.support.exchanges import settings


def test_one_process_shares_nothing() -> None:
    assert make_shared(settings(), 1) is None


async def test_the_stores_of_all_workers_hold_the_same_within_the_bound() -> None:
    shared = make_shared(settings(cache={"memory": {"max_bytes": 1_000_000}}), 3)
    assert shared is not None
    stores = [shared.store() for _ in range(3)]
    await stores[0].put(key(1), entry(100))
    assert [await store.get(key(1)) for store in stores] == [entry(100)] * 3
    assert 900_000 < stores[0].stats().limit_bytes <= 1_000_000
    assert await stores[1].clear() == 1
    assert [await store.get(key(1)) for store in stores] == [None] * 3


async def test_without_a_bound_nothing_is_kept() -> None:
    store = SharedParts(0, 2).store()
    await store.put(key(1), entry(100))
    assert await store.get(key(1)) is None


async def test_the_claims_of_a_dead_worker_are_free() -> None:
    shared = SharedParts(1_000_000, 2)
    await shared.claims.claim(key(1), owner_of(10, 0))
    await shared.claims.claim(key(2), owner_of(11, 1))
    shared.on_worker_death(0)
    assert (shared.claims.look_up(key(1)), shared.claims.look_up(key(2))) == (0, owner_of(11, 1))
