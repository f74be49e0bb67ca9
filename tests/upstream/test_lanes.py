"""How many connections many calls take: none waits, and none is opened for nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from config.schema import Upstream
from proxy.demo.certificates import Certificates
from proxy.demo.faults import Faults, Options
from proxy.demo.simulator import Simulator
from proxy.exchange.errors import UpstreamError
from proxy.exchange.model import Request, Response
from proxy.upstream.origin import HTTP1, HTTP2, Lane, Origin
from proxy.upstream.pool import OriginUse, Pool
from tests.support.exchanges import CHAT_STREAM, request
from tests.upstream.conftest import MakePool

DEADLINE_S = 20.0


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def held_open(pool: Pool, simulator: Simulator, count: int) -> AsyncIterator[None]:
    """This many streams at once, all of which have begun and none of which has ended."""
    if not any(fault.stall_after for fault in simulator.faults):
        simulator.faults.append(Faults(stall_after=1))
    asking = [asyncio.ensure_future(pool.send(request(CHAT_STREAM), buffered=False)) for _ in range(count)]
    responses: list[Response] = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            responses = await asyncio.gather(*asking)
        yield
    finally:
        for each in asking:
            each.cancel()
        for response in responses:
            if not isinstance(response.body, bytes):
                await response.body.aclose()


def use(pool: Pool) -> OriginUse:
    (only,) = pool.use()
    return only


async def simulated(certificates: Certificates, **options: object) -> Simulator:
    return Simulator(certificates, Options(**options))  # type: ignore[arg-type]


async def test_more_calls_than_a_connection_takes_open_another_one_before_it_is_full(
    provider_certificates: Certificates, make_pool: MakePool
) -> None:
    async with await simulated(provider_certificates, max_streams=100) as simulator:
        pool = make_pool(simulator)
        await pool.send(request(), buffered=True)
        async with held_open(pool, simulator, 150):
            assert simulator.traffic.active_streams == 150
            assert use(pool).in_flight == 150
            assert use(pool).waiting == 0
            assert use(pool).connections == 2
        assert simulator.connections_opened == 2


async def test_a_lower_limit_is_learned_from_the_origin(
    provider_certificates: Certificates, make_pool: MakePool
) -> None:
    async with await simulated(provider_certificates, max_streams=10) as simulator:
        pool = make_pool(simulator)
        async with held_open(pool, simulator, 40):
            assert simulator.traffic.active_streams == 40
            assert use(pool).connections == 5


async def test_the_limit_matters_after_a_quiet_time_too(
    provider_certificates: Certificates, make_pool: MakePool
) -> None:
    async with await simulated(provider_certificates, max_streams=10) as simulator:
        pool = make_pool(simulator)
        for _ in range(3):
            await pool.send(request(), buffered=True)
        assert simulator.connections_opened == 1
        async with held_open(pool, simulator, 40):
            assert simulator.traffic.active_streams == 40


async def test_a_burst_of_first_calls_opens_few_connections(
    provider_certificates: Certificates, make_pool: MakePool
) -> None:
    async with await simulated(provider_certificates) as simulator:
        pool = make_pool(simulator)
        async with held_open(pool, simulator, 50):
            assert simulator.traffic.active_streams == 50
        assert simulator.connections_opened <= 3


async def test_calls_one_after_another_share_one_connection(
    provider_certificates: Certificates, make_pool: MakePool
) -> None:
    for http2 in (True, False):
        async with await simulated(provider_certificates, http2=http2) as simulator:
            pool = make_pool(simulator)
            for _ in range(20):
                await pool.send(request(), buffered=True)
            assert simulator.connections_opened == (1 if http2 else 2)  # one only showed that it is HTTP/1.1
            assert use(pool).connections == 1


async def test_http1_takes_a_connection_for_each_call(provider_certificates: Certificates, make_pool: MakePool) -> None:
    async with await simulated(provider_certificates, http2=False) as simulator:
        pool = make_pool(simulator)
        async with held_open(pool, simulator, 12):
            assert use(pool).connections == 12
            assert use(pool).protocol == HTTP1


async def test_past_the_limit_of_connections_a_call_waits_for_another_to_end(
    provider_certificates: Certificates, make_pool: MakePool
) -> None:
    async with await simulated(provider_certificates, http2=False) as simulator:
        pool = make_pool(simulator, max_connections=2)
        async with held_open(pool, simulator, 2):
            waiting = asyncio.ensure_future(pool.send(request(), buffered=True))
            await until(lambda: use(pool).waiting == 1)
        simulator.faults.clear()
        async with asyncio.timeout(DEADLINE_S):
            assert (await waiting).status == 200
        assert use(pool).waiting == 0


async def test_a_call_that_waits_too_long_for_a_connection_is_refused(
    provider_certificates: Certificates, make_pool: MakePool
) -> None:
    async with await simulated(provider_certificates, http2=False) as simulator:
        pool = make_pool(simulator, max_connections=1, first_byte_timeout_s=0.2)
        async with held_open(pool, simulator, 1):
            with pytest.raises(UpstreamError) as raised:
                await pool.send(request(), buffered=True)
        assert (raised.value.code, raised.value.status, raised.value.sent) == ("connection_limit_reached", 503, False)
        assert use(pool).waiting == 0


async def test_who_stops_waiting_for_a_connection_is_not_counted_any_more(
    provider_certificates: Certificates, make_pool: MakePool
) -> None:
    async with await simulated(provider_certificates, http2=False) as simulator:
        pool = make_pool(simulator, max_connections=1)
        async with held_open(pool, simulator, 1):
            waiting = asyncio.ensure_future(pool.send(request(), buffered=True))
            await until(lambda: use(pool).waiting == 1)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert use(pool).waiting == 0


async def test_calls_on_a_connection_that_breaks_fail_and_the_next_one_gets_another(
    provider_certificates: Certificates, make_pool: MakePool
) -> None:
    async with await simulated(provider_certificates) as simulator:
        simulator.faults.append(Faults(failure="close", times=1))
        pool = make_pool(simulator)
        results = await asyncio.gather(*(pool.send(request(), buffered=True) for _ in range(5)), return_exceptions=True)
        failures = [result for result in results if isinstance(result, UpstreamError)]
        assert failures
        assert {(failure.code, failure.sent) for failure in failures} == {("connection_terminated", True)}
        assert use(pool).in_flight == 0
        assert (await pool.send(request(), buffered=True)).status == 200
        assert simulator.connections_opened == 2


async def test_lanes_that_fell_idle_are_closed(provider_certificates: Certificates, make_pool: MakePool) -> None:
    async with await simulated(provider_certificates) as simulator:
        pool = make_pool(simulator, keepalive_s=0.05)
        await pool.send(request(), buffered=True)
        await until(lambda: not pool.use())
        await until(lambda: simulator.connections_open == 0)
        assert (await pool.send(request(), buffered=True)).status == 200


async def test_the_longest_unused_origin_is_forgotten_first(
    provider_certificates: Certificates, make_pool: MakePool
) -> None:
    async with await simulated(provider_certificates) as simulator:
        pool = make_pool(simulator, max_origins=2)
        for host in ("api.openai.com", "api.anthropic.com", "api.mistral.ai"):
            await pool.send(request(host=host), buffered=True)
        assert sorted(each.origin for each in pool.use()) == ["api.anthropic.com:443", "api.mistral.ai:443"]


async def test_an_origin_in_use_is_not_forgotten(provider_certificates: Certificates, make_pool: MakePool) -> None:
    async with await simulated(provider_certificates) as simulator:
        pool = make_pool(simulator, max_origins=1)
        async with held_open(pool, simulator, 1):
            with pytest.raises(UpstreamError) as raised:
                await pool.send(request(host="api.anthropic.com"), buffered=True)
        assert raised.value.code == "connection_limit_reached"


async def test_without_http2_it_is_not_spoken(provider_certificates: Certificates, make_pool: MakePool) -> None:
    async with await simulated(provider_certificates) as simulator:
        pool = make_pool(simulator, http2=False)
        await pool.send(request(), buffered=True)
        assert simulator.calls[-1].http_version == "1.1"
        assert use(pool).protocol == HTTP1


# -- the rules, without a network


class FakeLane(Lane):
    def __init__(self, in_flight: int, limit: int | None, *, usable: bool = True) -> None:
        super().__init__()
        self.in_flight = in_flight
        self._limit = limit
        self._usable = usable

    @property
    def is_usable(self) -> bool:
        return self._usable

    @property
    def is_open(self) -> bool:
        return True

    @property
    def stream_limit(self) -> int | None:
        return self._limit

    async def send(self, request: Request, *, buffered: bool, done: Callable[[], None]) -> Response:
        raise NotImplementedError

    def check(self, now: float) -> None:
        return None

    async def close(self) -> None:
        return None


def origin(*in_flight: int, protocol: str = HTTP2, limit: int | None = 100, dialing: int = 0) -> Origin:
    lanes: list[Lane] = [FakeLane(number, limit) for number in in_flight]
    return Origin("https", "h", 443, protocol=protocol, lanes=lanes, dialing=dialing)


@pytest.mark.parametrize(
    ("limit", "room"), [(None, 8), (100, 90), (10, 9), (1, 1), (0, 1), (1000, 90), (50, 45), (2**31 - 1, 90)]
)
async def test_a_lane_stays_below_what_the_origin_allows(limit: int | None, room: int) -> None:
    made = origin(0, limit=limit)
    assert made.room(made.lanes[0], Upstream()) == room


async def test_lanes_are_filled_in_order() -> None:
    full = origin(90, 3, 0)
    assert full.find(Upstream()) is full.lanes[1]
    assert origin(90, 90).find(Upstream()) is None
    assert origin(90, protocol=HTTP1).find(Upstream()) is not None
    assert origin().find(Upstream()) is None
    closing = origin()
    closing.lanes.append(FakeLane(0, 100, usable=False))
    assert closing.find(Upstream()) is None


async def test_when_another_connection_is_made() -> None:
    assert origin(90).may_open(Upstream())
    assert origin().may_open(Upstream())
    assert origin(protocol="").may_open(Upstream())
    assert not origin(protocol="", dialing=1).may_open(Upstream())
    assert origin(protocol=HTTP1).may_open(Upstream())
    assert not origin(1, protocol=HTTP1).may_open(Upstream())
    assert not origin(90).may_open(Upstream(max_connections=1))


async def test_settings_on_their_way_are_waited_for() -> None:
    assert not origin(8, limit=None).may_open(Upstream())


async def test_as_many_connections_are_made_at_once_as_the_waiting_calls_need() -> None:
    crowded = origin(90, dialing=1)
    crowded.waiting = 90
    assert not crowded.may_open(Upstream())
    crowded.waiting = 91
    assert crowded.may_open(Upstream())


async def test_what_is_busy_is_not_forgotten() -> None:
    idle, dialing, waiting = origin(0), origin(0, dialing=1), origin(0)
    waiting.waiting = 1
    assert [each.is_busy for each in (idle, dialing, waiting, origin(1))] == [False, True, True, True]
    assert idle.name == "h:443"
