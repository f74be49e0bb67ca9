"""The tiers together: what goes where, and what a tier that fails costs. See tests/invariants/test_tiers.py as well."""

import asyncio

import pytest

from proxy.stores import tiers as module
from proxy.stores.admission import Admission
from proxy.stores.base import Entry, Store, StoreUnavailableError
from proxy.stores.memory import MemoryStore
from proxy.stores.rules import Kind, Rule, Rules
from proxy.stores.tiers import Tiers
from proxy.tasks import TaskSet
from tests.contract.test_stores import entry, key


class Slow(MemoryStore):
    """Keeps what it is given when the test says so, and can be down."""

    def __init__(self) -> None:
        super().__init__(1 << 24)
        self.may = asyncio.Event()
        self.is_down = False
        self.asked = 0

    async def get(self, key: bytes) -> Entry | None:
        self.asked += 1
        if self.is_down:
            raise StoreUnavailableError("down")
        return await super().get(key)

    async def put(self, key: bytes, entry: Entry) -> None:
        await self.may.wait()
        if self.is_down:
            raise StoreUnavailableError("down")
        await super().put(key, entry)

    async def delete(self, key: bytes) -> bool:
        if self.is_down:
            raise StoreUnavailableError("down")
        return await super().delete(key)


class Several:
    """Memory, then two others."""

    def __init__(self) -> None:
        self.now = 1_000_010.0
        self.tasks = TaskSet()
        self.near, self.one, self.other = MemoryStore(1 << 20), Slow(), Slow()
        self.rules = Rules()
        outer: list[Store] = [self.one, self.other]
        self.tiers = Tiers(self.near, outer, self.rules, self.tasks, Admission(), clock=lambda: self.now)

    def let(self) -> None:
        """Writes go on."""
        self.one.may.set()
        self.other.may.set()

    async def settled(self) -> None:
        self.let()
        await self.tasks.wait(1.0)


@pytest.fixture
async def several() -> Several:
    return Several()


async def test_a_write_is_readable_at_once_and_waits_for_no_outer_tier(several: Several) -> None:
    async with asyncio.timeout(1):
        await several.tiers.put(key(), entry())
    assert await several.tiers.get(key()) == entry()
    assert several.one.asked == 0, "memory has it"
    await several.settled()
    assert await several.one.get(key()) == await several.other.get(key()) == entry()


async def test_what_is_found_further_out_is_put_into_all_tiers_before_it(several: Several) -> None:
    several.let()
    await several.other.put(key(), entry())
    assert await several.tiers.get(key()) == entry()
    await several.settled()
    assert several.tiers.peek(key()) == entry()
    assert await several.one.get(key()) == entry()


async def test_a_tier_that_is_down_is_passed_over(several: Several) -> None:
    several.let()
    several.one.is_down = True
    await several.tiers.put(key(), entry())
    await several.settled()
    await several.near.clear()
    assert await several.tiers.get(key()) == entry()
    assert await several.tiers.delete(key())
    assert await several.tiers.get(key()) is None


async def test_a_newer_answer_further_out_takes_the_place_of_one_that_is_past_its_time(several: Several) -> None:
    several.let()
    await several.near.put(key(), entry())
    newer = entry(stored_at=1_000_070.0)
    await several.other.put(key(), newer)
    assert await several.tiers.get(key()) == entry(), "still fresh: nobody is asked"
    several.now = 1_000_100.0
    assert await several.tiers.get(key()) == newer
    assert several.tiers.peek(key()) == newer


async def test_an_older_one_further_out_does_not(several: Several) -> None:
    several.let()
    await several.near.put(key(), entry())
    await several.other.put(key(), entry(stored_at=999_000.0))
    several.now = 1_000_100.0
    assert await several.tiers.get(key()) == entry()


async def test_writes_under_way_are_bounded_and_what_is_left_out_is_counted(
    several: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PENDING_BYTES", 250)
    for number in range(3):
        await several.tiers.put(key(number), entry(b"x" * 100))
    assert several.tiers.dropped == 4
    await several.settled()
    await several.tiers.put(key(9), entry(b"x" * 100))
    await several.settled()
    assert several.tiers.dropped == 4
    assert await several.other.get(key(9)) is not None


async def test_what_was_invalidated_while_it_was_under_way_is_kept_nowhere(several: Several) -> None:
    several.rules.add(Rule(Kind.TAG, "nightly", 5))
    await several.tiers.put(key(), entry(tags=("nightly",), epoch=4))
    await several.settled()
    assert several.near.stats().entries == 0
    assert await several.one.get(key()) is None
    await several.tiers.put(key(), entry(tags=("nightly",), epoch=5))
    assert await several.tiers.get(key()) is not None


async def test_the_dead_are_not_promoted_and_leave_memory(several: Several) -> None:
    several.let()
    await several.near.put(key(), entry())
    await several.other.put(key(), entry())
    several.rules.add(Rule(Kind.ALL, "", 5))
    assert several.tiers.peek(key()) is None
    assert await several.tiers.get(key()) is None
    assert several.near.stats().entries == 0


async def test_what_is_sensitive_goes_only_where_it_is_sealed(several: Several) -> None:
    tiers = Tiers(several.near, several.tiers.outer, Rules(), several.tasks, Admission([several.one]))
    await tiers.put(key(), entry(sensitive=True))
    await several.settled()
    assert tiers.peek(key()) is not None
    assert await several.one.get(key()) is not None
    assert await several.other.get(key()) is None


async def test_clearing_waits_for_memory_alone(several: Several) -> None:
    several.let()
    await several.tiers.put(key(), entry())
    await several.settled()
    assert await several.tiers.clear() == 1
    await several.settled()
    assert await several.tiers.get(key()) is None


async def test_each_tier_says_how_it_is(several: Several) -> None:
    assert [stats.tier for stats in several.tiers.each_stats()] == ["memory"] * 3
    assert several.tiers.stats().tier == "memory"


async def test_that_a_key_is_written_is_heard_when_the_last_tier_has_it(several: Several) -> None:
    await several.tiers.put(key(), entry())
    waiting = [asyncio.ensure_future(several.tiers.written(key())) for _ in range(3)]
    several.one.may.set()
    await asyncio.sleep(0)
    assert not any(each.done() for each in waiting)
    waiting.pop().cancel()
    several.other.is_down = True
    several.other.may.set()
    await asyncio.gather(*waiting)
    assert await several.one.get(key()) is not None


async def test_where_nothing_is_written_nobody_waits(several: Several) -> None:
    async with asyncio.timeout(1):
        await several.tiers.written(key())


async def test_what_is_near_is_found_without_asking_further_and_dead_answers_are_not(several: Several) -> None:
    await several.near.put(key(), entry())
    assert await several.tiers.get_near(key()) == entry()
    several.rules.add(Rule(Kind.ALL, "", 5))
    assert await several.tiers.get_near(key()) is None
    assert several.one.asked == 0


async def test_a_large_answer_of_little_worth_is_written_when_it_is_asked_for_again_and_once() -> None:
    several = Several()
    several.tiers = Tiers(
        MemoryStore(1 << 25), [several.one], several.rules, several.tasks, Admission(), clock=lambda: several.now
    )
    several.let()
    large = entry(bytes(2_000_000))
    await several.tiers.put(key(1), large)
    await several.settled()
    assert several.one.stats().entries == 0
    assert await several.tiers.get(key(1)) is large
    await several.settled()
    kept = several.one.peek(key(1))
    assert kept is not None
    assert 0.0 < kept.ttl_s < large.ttl_s
    await several.one.delete(key(1))
    assert several.tiers.peek(key(1)) is large
    await several.settled()
    assert several.one.stats().entries == 0


async def test_a_large_answer_that_was_asked_for_before_is_written_at_once() -> None:
    several = Several()
    several.tiers = Tiers(
        MemoryStore(1 << 25), [several.one], several.rules, several.tasks, Admission(), clock=lambda: several.now
    )
    several.let()
    for _ in range(2):
        assert await several.tiers.get(key(1)) is None
    await several.tiers.put(key(1), entry(bytes(2_000_000)))
    await several.settled()
    assert several.one.stats().entries == 1
