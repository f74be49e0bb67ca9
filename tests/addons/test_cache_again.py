"""The second look into a cache that workers share."""

import pytest

from addons.cache import CacheStage
from addons.cache_again import CacheAgain
from addons.recording import Recording
from proxy.exchange.cache_control import Directives
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import Outcome
from proxy.stores.admission import Admission
from proxy.stores.base import Entry, Store
from proxy.stores.memory import MemoryStore
from proxy.stores.rules import Rules
from proxy.stores.tiers import Tiers
from proxy.tasks import TaskSet
from tests.addons.streams import BrokenStore, chatting, cost, no_renewals
from tests.support.exchanges import CHAT_ANSWER, JSON, Origin, answer, calling, settings


def stage(store: Store) -> CacheAgain:
    return CacheAgain(CacheStage(store, settings(), TaskSet(), cost, no_renewals(), clock=lambda: 1_000_000.0))


def missed(**more: object) -> Exchange:
    return chatting(b"{}", **{"outcome": Outcome.MISS, **more})


async def asked(store: Store, called: Exchange) -> tuple[Response, int]:
    """The response, and how often the rest of the chain was asked."""
    origin = Origin(answer(b"fresh"))
    response = await calling(stage(store), end=origin)(called)
    return response, len(origin.asked)


async def filled() -> MemoryStore:
    store = MemoryStore(1 << 20)
    recording = Recording(store, settings(), TaskSet(), cost, clock=lambda: 1_000_000.0)
    recording.store(missed(), b"f" * 32, 200, list(JSON), CHAT_ANSWER)
    return store


async def test_what_has_been_stored_meanwhile_is_a_hit() -> None:
    called = missed()
    response, upstream = await asked(await filled(), called)
    assert (response.body, upstream) == (CHAT_ANSWER, 0)
    assert called.outcome is Outcome.HIT
    assert called.cache_status.startswith("hit")


async def test_what_has_not_goes_on() -> None:
    called = missed()
    response, upstream = await asked(MemoryStore(1 << 20), called)
    assert (response.body, upstream) == (b"fresh", 1)
    assert called.outcome is Outcome.MISS


@pytest.mark.parametrize(
    "more",
    [{"outcome": Outcome.BYPASS}, {"fingerprint": None}, {"collapses": False}, {"wall_time": 9_000_000.0}],
    ids=lambda more: next(iter(more)),
)
async def test_only_a_miss_that_may_be_shared_is_looked_for_and_only_what_is_fresh_is_taken(
    more: dict[str, object],
) -> None:
    response, upstream = await asked(await filled(), missed(**more))
    assert (response.body, upstream) == (b"fresh", 1)


async def test_who_wants_a_fresh_answer_gets_it() -> None:
    called = missed()
    called.directives = Directives(no_cache=True)
    assert (await asked(await filled(), called))[1] == 1


async def test_a_store_that_fails_is_the_stages_own_failure() -> None:
    with pytest.raises(ConnectionError):  # the guard steps over it
        await asked(BrokenStore(), missed())


class Counted(MemoryStore):
    """How often it was asked."""

    asked = 0

    async def get(self, key: bytes) -> Entry | None:
        self.asked += 1
        return await super().get(key)


@pytest.mark.parametrize(("landed_lately", "asked"), [(False, 0), (True, 1)])
async def test_what_is_outside_the_machine_is_asked_only_when_another_replica_has_landed(
    landed_lately: bool, asked: int
) -> None:
    far = Counted(1 << 20)
    store = Tiers(MemoryStore(1 << 20), (far,), Rules(), TaskSet(), Admission(), clock=lambda: 1_000_000.0)
    await calling(stage(store), end=Origin(answer(b"fresh")))(missed(landed_lately=landed_lately))
    assert far.asked == asked


async def test_what_is_near_is_found_whoever_made_the_call() -> None:
    store = Tiers(await filled(), (), Rules(), TaskSet(), Admission(), clock=lambda: 1_000_000.0)
    response, upstream = await asked(store, missed())
    assert (response.body, upstream) == (CHAT_ANSWER, 0)
