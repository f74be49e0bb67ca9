"""The operators' listener, over a real socket."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal, cast

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from config.metric_labels import RESERVED
from config.schema import Upstream
from proxy.admin.server import AdminServer
from proxy.admin.stock import Stock
from proxy.admin.token import AdminToken
from proxy.admin.views import Views
from proxy.counters import Counters
from proxy.edge.bridge import Snapshot
from proxy.ledger.writer import LedgerStatus, LedgerWriter
from proxy.metrics import LiveGauges
from proxy.stores.admission import Admission
from proxy.stores.base import Store
from proxy.stores.invalidation import Invalidations
from proxy.stores.memory import MemoryStore
from proxy.stores.rules import Rules
from proxy.stores.sealing.sealer import Sealer
from proxy.stores.tiers import Tiers
from proxy.tasks import TaskSet
from proxy.upstream.pool import Pool
from proxy.upstream.resolver import Resolver
from tests.admin.rows import row
from tests.contract.test_stores import entry, key
from tests.edge.harness import Edge
from tests.support.exchanges import REGISTRY, Origin, answer, settings

TOKEN = "t" * 43
AUTHORIZATION = f"Bearer {TOKEN}"

type Ask = Callable[..., Awaitable[tuple[int, str, str]]]


class Ledger:
    """In the state that the test says."""

    def __init__(self) -> None:
        self.state: Literal["ok", "degraded"] = "ok"

    def status(self) -> LedgerStatus:
        return LedgerStatus(self.state, "disk full" if self.state == "degraded" else "", queued=1, written=2, lost=3)


class Operators:
    """The listener, and the parts that it looks at."""

    def __init__(self, *outer: Store, with_ledger: bool = True, **sections: object) -> None:
        self.state: Literal["starting", "running", "stopping"] = "running"
        self.ledger = Ledger()
        self.edge = Edge()
        self.store = Tiers(MemoryStore(1 << 20), outer, Rules(), TaskSet(), Admission())
        self.counters = Counters()
        self.pool = Pool(Upstream(), Resolver({}, ignore_hosts_file=False))
        origin = Origin(answer())
        snapshot = Snapshot(settings(**sections), REGISTRY, origin, origin, self.pool)
        views = self.views = Views(
            snapshot=lambda: snapshot,
            state=lambda: self.state,
            bridge=self.edge.bridge,
            store=self.store,
            invalidations=Invalidations(self.store),
            stock=Stock(
                self.store,
                {"memory": self.store.near},
                Sealer(),
                lambda: bytes(32),
                AdminToken(TOKEN),
                time.time,
            ),
            counters=self.counters,
            ledger=cast(LedgerWriter, self.ledger) if with_ledger else None,
            started_at=time.time(),
        )
        self.edge.metrics.registry.register(LiveGauges(views.gauges()))
        self.server = AdminServer(self.edge.metrics.registry, views)


@pytest.fixture
def operators() -> Operators:
    return Operators()


@pytest.fixture
async def address(operators: Operators) -> str:
    return await operators.server.start("127.0.0.1:0")


@pytest.fixture
async def ask(operators: Operators, address: str) -> AsyncIterator[Ask]:
    """`ask("/livez")`: status, content type and text."""
    async with aiohttp.ClientSession(f"http://{address}") as session:

        async def asked(path: str, method: str = "GET", **fields: str) -> tuple[int, str, str]:
            async with session.request(method, path, headers=fields) as response:
                return response.status, response.headers.get("content-type", ""), await response.text()

        yield asked
    await operators.server.stop()


async def test_it_is_alive(ask: Ask) -> None:
    assert (await ask("/livez"))[0] == 200


async def say(address: str, *pieces: bytes) -> bytes:
    """Send the pieces one by one; returns all that comes."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("path", [b"/livez", b"/readyz", b"/livez?verbose"])
async def test_a_probe_may_come_in_pieces(ask: Ask, address: str, path: bytes) -> None:
    request = b"GET " + path + b" HTTP/1.1\r\nhost: x\r\n\r\n"
    for cut in range(1, len(request)):
        answer = await say(address, request[:cut], request[cut:])
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), cut
        assert answer.endswith((b"\r\n\r\nok\n", b"\r\n\r\nready\n")), cut


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"HEAD /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 200),
        (b"POST /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}", 405),
        (b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}", 200),
        (b"GET /livez HTTP/1.0\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 2_000 + b"\r\n", 400),
    ],
)
async def test_what_is_no_plain_probe_is_answered_too(ask: Ask, address: str, request_: bytes, status: int) -> None:
    answer = await say(address, request_)
    assert int(answer.split(b" ")[1]) == status


async def test_requests_that_come_together_are_all_answered(ask: Ask, address: str) -> None:
    first = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
    last = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    assert (await say(address, first + last)).count(b"HTTP/1.1 200 OK") == 2


async def test_who_asks_nothing_is_closed_at_the_end(operators: Operators, address: str) -> None:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /")
    await say(address, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")  # by then the other has been accepted
    await operators.server.stop()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_it_is_ready_while_it_runs(ask: Ask, operators: Operators) -> None:
    assert (await ask("/readyz"))[::2] == (200, "ready\n")
    for state in ("starting", "stopping"):
        operators.state = state
        assert (await ask("/readyz"))[::2] == (503, f"not ready\n{state}\n")


async def test_a_degraded_ledger_is_said_and_keeps_no_traffic_away(ask: Ask, operators: Operators) -> None:
    operators.ledger.state = "degraded"
    assert (await ask("/readyz"))[::2] == (200, "ready\ndegraded: ledger: disk full\n")


async def test_statistics_are_json(ask: Ask, operators: Operators) -> None:
    await operators.store.put(key(), entry())
    operators.counters.count(row(cost_nanousd=1_000_000_000))
    status, kind, text = await ask("/v1/stats")
    stats = json.loads(text)
    assert (status, kind) == (200, "application/json")
    assert stats["cache"]["memory"]["entries"] == 1
    assert stats["calls"]["total"] == 1
    assert stats["calls"]["cost_usd"] == 1.0
    assert stats["ledger"] == {"state": "ok", "reason": "", "queued": 1, "written": 2, "lost": 3}
    assert stats["upstream"] == []
    assert (stats["client_connections"], stats["exchanges_in_flight"]) == (0, 0)
    assert (stats["process"]["tasks"]["flight"], stats["process"]["threads"] >= 1) == (0, True)


async def test_without_a_ledger_there_is_none() -> None:
    operators = Operators(with_ledger=False)
    address = await operators.server.start("127.0.0.1:0")
    try:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{address}/v1/stats") as response:
                assert (await response.json())["ledger"] is None
            async with session.get(f"http://{address}/readyz") as response:
                assert response.status == 200
            async with session.get(f"http://{address}/metrics") as response:
                assert "skinflint_ledger_rows{" not in await response.text()
    finally:
        await operators.server.stop()


async def test_metrics_can_be_parsed_in_both_formats(ask: Ask, operators: Operators) -> None:
    operators.edge.metrics.calls.observe(row())
    operators.edge.bridge.count_connection("intercepted")
    operators.edge.bridge.count_bad_request(400)
    _, kind, text = await ask("/metrics")
    assert kind.startswith("text/plain")
    assert (
        'skinflint_requests_total{code="200",model="m",operation="chat",outcome="miss",provider="openai"} 1.0' in text
    )
    _, kind, text = await ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    families = {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
    assert {"skinflint_requests", "skinflint_client_connections", "skinflint_client_connections_open"} <= set(families)
    assert families["skinflint_cache_bytes"].samples[0].labels == {"tier": "memory"}
    assert [sample.value for sample in families["skinflint_ledger_rows"].samples] == [1, 2, 3]


async def test_labels_of_the_process_stand_on_every_line() -> None:
    labels = {"pod": "web-1", "namespace": "shop", "node": 'a"b\\c', "team": ""}
    operators = Operators(attribution={"labels": labels})
    operators.edge.metrics.calls.observe(row())
    address = await operators.server.start("127.0.0.1:0")
    try:
        async with aiohttp.ClientSession(f"http://{address}") as session:
            async with session.get("/metrics") as response:
                lines = (await response.text()).splitlines()
            fields = {"Accept": "application/openmetrics-text; version=1.0.0"}
            async with session.get("/metrics", headers=fields) as response:
                families = list(text_string_to_metric_families(await response.text()))  # type: ignore[no-untyped-call]
    finally:
        await operators.server.stop()
    samples = [line for line in lines if not line.startswith("#")]
    assert len(samples) > 50
    wanted = ('pod="web-1"', 'namespace="shop"', 'node="a\\"b\\\\c"')
    assert all(label in line for line in samples for label in wanted)
    assert not any("team=" in line for line in samples)
    assert {sample.labels["pod"] for family in families for sample in family.samples} == {"web-1"}


async def test_the_names_that_metrics_use_are_reserved(operators: Operators) -> None:
    metrics = operators.edge.metrics
    metrics.calls.observe(row())
    metrics.stage_failures.labels("x").inc()
    operators.edge.bridge.count_connection("intercepted")
    operators.edge.bridge.count_bad_request(400)
    used = {name for family in metrics.registry.collect() for sample in family.samples for name in sample.labels}
    assert {"le", "generation", "stage", "tier"} < used
    assert used <= RESERVED


async def test_the_cache_can_be_cleared_but_not_by_a_mere_look(ask: Ask, operators: Operators) -> None:
    await operators.store.put(key(), entry())
    assert (await ask("/v1/cache/clear", Authorization=AUTHORIZATION))[0] == 405
    assert operators.store.stats().entries == 1
    status, _, text = await ask("/v1/cache/clear", "POST", Authorization=AUTHORIZATION)
    assert (status, json.loads(text)) == (200, {"cleared": 1})
    assert operators.store.stats().entries == 0


async def test_there_is_an_index_and_nothing_else(ask: Ask) -> None:
    status, _, text = await ask("/")
    assert status == 200
    assert "/metrics" in text
    assert (await ask("/v1/nothing"))[0] == 404


async def test_an_address_in_use_is_an_error(ask: Ask, address: str) -> None:
    second = Operators()
    try:
        with pytest.raises(OSError, match=r"(?i)address already in use|error while attempting to bind"):
            await second.server.start(address)
    finally:
        await second.server.stop()


async def test_an_ipv6_address_is_said_in_brackets() -> None:
    operators = Operators()
    try:
        address = await operators.server.start("[::1]:0")
    except OSError:
        pytest.skip("no IPv6 here")
    finally:
        await operators.server.stop()
    assert address.startswith("[::1]:")
