"""Pools of earlier settings are closed when no call can reach them any more, and no sooner."""

from typing import cast

from proxy.outlet import ON_THE_WAY_S, Outlet, RetiredPools
from proxy.upstream.pool import OriginUse, Pool


class FakePool:
    """Says how busy it is, and whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = False
        self.in_flight = 0
        self.waiting = 0

    def use(self) -> list[OriginUse]:
        return [OriginUse("api.openai.com:443", "HTTP/2", 1, self.in_flight, self.waiting)]

    async def close(self) -> None:
        self.is_closed = True


class Retirement:
    """One pool that was retired at second 0."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pool = FakePool()
        self.outlet: Outlet | None = Outlet(cast(Pool, self.pool))
        self.retired = RetiredPools(lambda: self.now)
        self.retired.add(self.outlet)

    async def is_closed_at(self, now: float) -> bool:
        self.now = now
        is_told = await self.retired.close_unused()
        assert is_told == self.pool.is_closed
        return is_told


async def test_a_pool_that_an_exchange_may_still_call_stays_open() -> None:
    one = Retirement()
    assert not await one.is_closed_at(1.0)
    one.outlet = None
    assert await one.is_closed_at(2.0)
    assert len(one.retired) == 0


async def test_what_keeps_the_outlet_for_ever_does_not_keep_the_pool() -> None:
    one = Retirement()
    assert not await one.is_closed_at(ON_THE_WAY_S - 0.1)
    assert await one.is_closed_at(ON_THE_WAY_S)


async def test_a_call_under_way_or_waiting_keeps_it_open_however_long() -> None:
    one = Retirement()
    one.outlet = None
    one.pool.in_flight = 1
    assert not await one.is_closed_at(10_000.0)
    one.pool.in_flight, one.pool.waiting = 0, 1
    assert not await one.is_closed_at(20_000.0)
    one.pool.waiting = 0
    assert await one.is_closed_at(20_001.0)


async def test_at_the_end_all_are_closed() -> None:
    one = Retirement()
    one.pool.in_flight = 1
    await one.retired.close()
    assert (one.pool.is_closed, len(one.retired)) == (True, 0)
