"""Calls that repeat a hit: whatever clients, clock and store do, the short way gives what the chain would have given,
bytes and rows alike. Two edges live through the same things, one of them with the short way.
"""

import asyncio
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addons.attribution import Attribution
from addons.cache import CacheStage
from addons.compress import Compress
from addons.fingerprint import Fingerprint
from addons.identify import Identify
from addons.meter import Meter
from addons.observe import Observe
from addons.repeats import KnownRepeats
from config.schema import Settings
from proxy.edge.bridge import Bridge, Snapshot
from proxy.edge.connection import ClientConnection
from proxy.edge.handover import Handover
from proxy.edge.leaf import LeafIssuer
from proxy.edge.pins import PinMemory
from proxy.exchange.chain import Handler, Stage, compose
from proxy.exchange.headers import HeaderList
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import CallRecord, Outcome
from proxy.exchange.repeats import Key, Replay
from proxy.exchange.tenant import NOBODY, Tenant
from proxy.metrics import Metrics
from proxy.stores.memory import MemoryStore
from proxy.tasks import TaskSet
from proxy.upstream.pool import Pool
from proxy.wire.coding import encode
from tests.addons.streams import no_renewals
from tests.addons.test_meter import Prices
from tests.edge.harness import OPENAI, Client, HandoverStub, Transport
from tests.support.exchanges import CHAT_ANSWER, REGISTRY, turns
from tests.support.exchanges import settings as make_settings


class Counted(KnownRepeats):
    """Counts what was found."""

    found = 0

    def find(self, key: Key, now: float) -> Replay | None:  # type: ignore[override]  # no more is asked of it here
        replay = super().find(key, now)
        self.found += replay is not None
        return replay


class World:
    """An edge with stages, store, clock and an origin whose every answer differs."""

    def __init__(self, *, short: bool, fields: HeaderList | None = None, coding: str = "", **sections: object) -> None:
        self.now = 1_000_000.0
        self.rows: list[CallRecord] = []
        self.asked = 0
        self.coding = coding
        self.fields: HeaderList = fields if fields is not None else [(b"content-type", b"application/json")]
        self.store = MemoryStore(1 << 20)
        self.settings: Settings = make_settings(**sections)
        self.metrics = Metrics(100)
        tasks = TaskSet()
        meter = Meter(Prices(), self.rows.append, response_headers=self.settings.cache.response_headers)
        stages: list[Stage] = [
            meter,
            Identify(REGISTRY, self.settings),
            Compress(self.settings.compression),
            Fingerprint(b"k" * 32, self.settings.cache),
            CacheStage(
                self.store, self.settings, tasks, lambda called, usage: 11_000, no_renewals(), clock=lambda: self.now
            ),
            Observe(tasks),
        ]
        self.failed: list[str] = []
        handler: Handler = compose(stages, self.origin, lambda stage, called, failure: self.failed.append(stage))
        attribution = Attribution(self.settings)
        self.repeats = Counted(b"k" * 32, self.store, meter, 1 << 20, attribution) if short else None
        self.snapshot = Snapshot(self.settings, REGISTRY, handler, handler, cast(Pool, None), self.repeats)
        self.bridge = Bridge(
            lambda: self.snapshot,
            metrics=self.metrics,
            leaves=cast(LeafIssuer, None),
            pins=PinMemory(60.0, lambda: 0.0),
            wall_clock=lambda: self.now,
        )
        self.client = self.connect()

    def connect(self, peer: str = "10.0.0.1", tenant: Tenant = NOBODY) -> Client:
        transport = Transport()
        handover = HandoverStub(transport)
        connection = ClientConnection(
            self.bridge,
            cast(Handover, handover),
            peer=peer,
            destination=OPENAI,
            tls=None,
            pin=None,
            tenant=tenant,
        )
        transport.protocol = connection
        connection.start(b"")
        return Client(connection, transport, handover)

    async def origin(self, called: Exchange) -> Response:
        self.asked += 1
        body = CHAT_ANSWER.replace(b"chatcmpl-1", b"chatcmpl-%d" % self.asked)
        if self.coding:
            return Response(200, [*self.fields, (b"content-encoding", self.coding.encode())], encode(self.coding, body))
        return Response(200, list(self.fields), body)

    async def ask(self, message: bytes, *, whole: bool = True) -> bytes:
        """One call on the connection; on a new one if the last call ended it."""
        if self.client.transport.closing or self.client.transport.eof_sent:
            self.client = self.connect()
        for piece in [message] if whole else [message[:30], message[30:200], message[200:]]:
            self.client.connection.data_received(piece)
        await turns()
        return self.client.transport.take()

    def seen(self) -> list[CallRecord]:
        """The rows without what differs from call to call: names and times."""
        return [replace(row, id="", first_byte_ms=None, total_ms=0.0, overhead_ms=0.0) for row in self.rows]

    async def end(self) -> None:
        await self.bridge.tasks.wait(1.0)
        for connection in list(self.bridge.connections):
            connection.close()
        await turns()


def message(
    *, method: bytes = b"POST", fields: tuple[bytes, ...] = (), content: bytes = b"hi", version: bytes = b"1.1"
) -> bytes:
    body = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"%b"}],"temperature":0}' % content
    if method != b"POST":
        body = b""
    target = b"/v1/chat/completions" if method == b"POST" else b"/v1/models"
    lines = b"".join(field + b"\r\n" for field in (*fields, b"content-length: %d" % len(body)))
    return (
        method + b" " + target + b" HTTP/" + version + b"\r\nhost: api.openai.com\r\n"
        b"content-type: application/json\r\nauthorization: Bearer sk-one\r\n" + lines + b"\r\n" + body
    )


FIELDS = st.sampled_from(
    [
        b"accept-encoding: gzip, br",
        b"accept-encoding: identity;q=0, gzip",
        b"cache-control: max-age=5",
        b"cache-control: max-stale",
        b"cache-control: min-fresh=30",
        b"cache-control: no-cache",
        b"cache-control: no-store",
        b"cache-control: only-if-cached",
        b"connection: close",
        b"connection: x-team",
        b"expect: 100-continue",
        b"x-request-id: 7",
        b"x-request-id: 8",
        b"traceparent: 00-1",
        b"traceparent: 00-2",
        b"connection: traceparent",
        b"x-team: red",
        b"x-team: blue",
    ]
)
MESSAGES = st.builds(
    message,
    method=st.sampled_from([b"POST", b"POST", b"POST", b"GET", b"HEAD"]),
    fields=st.lists(FIELDS, max_size=2).map(tuple),
    content=st.sampled_from([b"hi", b"hi", b"ho"]),
    version=st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"]),
)
TENANTS = st.sampled_from(
    [
        NOBODY,
        Tenant.named("red"),
        Tenant.named("red", {"pod": "a"}),
        Tenant.named("red", {"pod": "b"}),
        Tenant.named("blue"),
    ]
)
OTHER_STEPS = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([0.2, 0.9, 3.0, 20.0, 45.0])),
    st.tuples(st.just("wait"), st.sampled_from([0.2, 0.9, 3.0, 20.0, 45.0])),
    st.tuples(st.just("clear")),
    st.tuples(st.just("reconnect"), st.sampled_from(["10.0.0.1", "127.0.0.1"]), TENANTS),
    st.tuples(st.just("reconnect"), st.just("10.0.0.1"), TENANTS),
)


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[object, ...]]:
    """What happens to both worlds: a few calls again and again; between them time passes and operators do things."""
    pool = draw(st.lists(MESSAGES, min_size=1, max_size=3))
    steps: list[tuple[object, ...]] = []
    for _ in range(draw(st.integers(2, 10))):
        steps.append(("ask", draw(st.sampled_from(pool)), draw(st.integers(1, 4)), draw(st.booleans())))
        if draw(st.booleans()):
            steps.append(draw(OTHER_STEPS))
    return steps


ANSWERS = st.sampled_from(
    [
        ([(b"content-type", b"application/json")], ""),
        ([(b"content-type", b"application/json")], "br"),
        ([(b"content-type", b"application/json"), (b"age", b"9"), (b"cache-status", b"elsewhere; hit")], ""),
        ([(b"content-type", b"application/json"), (b"set-cookie", b"a=b")], "gzip"),
    ]
)
SECTIONS = st.sampled_from(
    [
        {"cache": {"ttl_s": 60}},
        {"cache": {"ttl_s": 60, "response_headers": False}},
        {"cache": {"ttl_s": 60}, "compression": {"clients": "all", "min_bytes": 1}},
        {
            "cache": {"ttl_s": 60},
            "attribution": {"headers": {"x-team": "team", "X-Request-Id": "id"}, "labels": {"app": "a"}},
        },
        {
            "cache": {"ttl_s": 60},
            "attribution": {
                "headers": {"x-team": "app", "Traceparent": "app", "Connection": "c", "Cache-Control": "d"},
                "labels": {"app": "a"},
            },
        },
        {
            "cache": {"ttl_s": 60},
            "attribution": {"headers": {"x-team": "team", "Cache-Control": "c", "Accept-Encoding": "e"}},
            "routes": [{"label": {"team": "red"}, "policy": {"ttl_s": 2}}],
        },
        {
            "cache": {"ttl_s": 60},
            "attribution": {"headers": {"x-team": "tenant"}},
            "routes": [{"label": {"tenant": "red"}, "policy": {"ttl_s": 2}}],
        },
    ]
)


async def live(world: World, steps: list[tuple[object, ...]]) -> list[bytes]:
    """What a client gets over this life."""
    got: list[bytes] = []
    for step in steps:
        match step:
            case ("ask", bytes(sent), int(times), bool(whole)):
                got += [await world.ask(sent, whole=whole) for _ in range(times)]
            case ("wait", float(seconds)):
                world.now += seconds
            case ("clear",):
                await world.store.clear()
            case ("reconnect", str(peer), Tenant() as tenant):
                world.client.connection.close()
                world.client = world.connect(peer, tenant)
            case _:
                raise AssertionError(step)
    await world.end()
    return got


@settings(max_examples=100, deadline=None)
@given(steps=lives(), answers=ANSWERS, sections=SECTIONS)
def test_the_short_way_gives_what_the_chain_gives(
    steps: list[tuple[object, ...]], answers: tuple[HeaderList, str], sections: dict[str, object]
) -> None:
    async def both() -> None:
        fields, coding = answers
        long = World(short=False, fields=fields, coding=coding, **sections)
        short = World(short=True, fields=fields, coding=coding, **sections)
        assert await live(short, steps) == await live(long, steps)
        assert short.seen() == long.seen()
        assert short.asked == long.asked
        assert short.store.stats() == long.store.stats()
        assert not short.failed

    asyncio.run(both())


async def test_a_third_identical_call_takes_the_short_way() -> None:
    world = World(short=True)
    got = [await world.ask(message()) for _ in range(4)]
    assert world.repeats is not None
    assert world.repeats.found == 2
    assert got[1] == got[2] == got[3]
    assert b"cache-status: skinflint; hit; ttl=3600\r\n" in got[3]
    assert [row.outcome for row in world.rows] == [Outcome.MISS, *[Outcome.HIT] * 3]
    assert [row.saved_nanousd for row in world.rows] == [0, *[11_000] * 3]
    assert len({row.id for row in world.rows}) == 4
    await world.end()


async def test_a_head_and_a_body_that_come_apart_take_it_too() -> None:
    world = World(short=True)
    got = [await world.ask(message(), whole=whole) for whole in (True, False, True, False)]
    assert world.repeats is not None
    assert world.repeats.found == 2
    assert got[1] == got[3]
    await world.end()


async def test_what_names_or_traces_a_call_makes_no_difference() -> None:
    world = World(short=True)
    for number in range(5):
        fields = (b"traceparent: 00-%d" % number, b"x-request-id: %d" % number)
        assert b"x-skinflint-cache" in await world.ask(message(fields=fields))
    assert world.repeats is not None
    assert world.repeats.found == 3
    await world.end()


async def test_nor_does_a_label_and_each_call_has_its_own() -> None:
    world = World(short=True, attribution={"headers": {"X-Request-Id": "request"}, "labels": {"app": "a"}})
    for number in range(5):
        await world.ask(message(fields=(b"x-request-id: %d" % number,)))
    assert world.repeats is not None
    assert world.repeats.found == 3
    assert [row.labels for row in world.rows] == [{"app": "a", "request": str(number)} for number in range(5)]
    await world.end()


async def test_tenants_do_not_share_and_pods_of_one_tenant_do_but_for_their_labels() -> None:
    world = World(short=True)
    whose = (
        [Tenant.named("red", {"pod": "a"})] * 3 + [Tenant.named("red", {"pod": "b"})] * 2 + [Tenant.named("blue")] * 3
    )
    for tenant in whose:
        world.client.connection.close()
        world.client = world.connect(tenant=tenant)
        await world.ask(message())
    assert [row.outcome for row in world.rows] == [
        Outcome.MISS, Outcome.HIT, Outcome.HIT, Outcome.HIT, Outcome.HIT, Outcome.MISS, Outcome.HIT, Outcome.HIT,
    ]  # fmt: skip
    assert [row.labels for row in world.rows] == [dict(tenant.labels) for tenant in whose]
    assert world.repeats is not None
    assert world.repeats.found == 3
    await world.end()


async def test_unless_a_route_depends_on_labels() -> None:
    routes = [{"label": {"team": "red"}, "policy": {"ttl_s": 5}}]
    world = World(short=True, attribution={"headers": {"x-team": "team"}}, routes=routes)
    teams = (b"blue", b"blue", b"red", b"red", b"blue")
    got = [await world.ask(message(fields=(b"x-team: " + team,))) for team in teams]
    assert world.repeats is not None
    assert world.repeats.found == 2  # each team again
    assert [b"ttl=5" in answer for answer in got] == [False, False, True, True, False]
    assert [row.labels["team"] for row in world.rows] == [team.decode() for team in teams]
    await world.end()


@pytest.mark.parametrize("more", [b"connection: x-team", b"x-team: gold"])
async def test_labels_are_those_of_the_chain_where_one_field_is_not_enough(more: bytes) -> None:
    """A field that is meant for the connection, or that stands there twice."""
    world = World(short=True, attribution={"headers": {"x-team": "team", "x-group": "team"}})
    teams = (b"red", b"red", b"red", b"blue")
    for team in teams:
        await world.ask(message(fields=(b"x-team: " + team, b"x-group: " + team, more)))
    assert world.repeats is not None
    assert world.repeats.found == 2
    last = [team.decode() for team in teams] if more.startswith(b"connection") else ["gold"] * 4
    assert [row.labels["team"] for row in world.rows] == last
    await world.end()


async def test_a_reload_forgets_what_was_noted_of_a_head() -> None:
    world = World(short=True)
    sent = message(fields=(b"x-request-id: 1",))
    for _ in range(3):
        await world.ask(sent)
    meter = Meter(Prices(), world.rows.append, response_headers=True)
    routes = [{"label": {"id": "9"}}]
    labelled = make_settings(attribution={"headers": {"x-request-id": "id"}}, routes=routes)
    after = Counted(b"k" * 32, world.store, meter, 1 << 20, Attribution(labelled))
    world.snapshot = replace(world.snapshot, repeats=after)
    await world.ask(sent)
    await world.ask(message(fields=(b"x-request-id: 2",)))
    assert after.found == 0
    await world.end()


async def test_the_age_of_an_answer_grows_on_the_short_way() -> None:
    world = World(short=True)
    for _ in range(3):
        await world.ask(message())
    world.now += 7
    assert b"\r\nage: 7\r\n" in await world.ask(message())
    assert world.repeats is not None
    assert world.repeats.found == 2
    await world.end()


@pytest.mark.parametrize("change", ["other key", "other peer", "other body"])
async def test_only_the_very_same_call_takes_it(change: str) -> None:
    world = World(short=True)
    for _ in range(3):
        await world.ask(message())
    sent = message()
    if change == "other key":
        sent = sent.replace(b"sk-one", b"sk-two")
    elif change == "other body":
        sent = sent.replace(b'"hi"', b'"ha"')
    else:
        world.client = world.connect("10.0.0.2")
    await world.ask(sent)
    assert world.repeats is not None
    assert world.repeats.found == 1
    await world.end()


class Broken(Counted):
    """Fails whatever it is asked."""

    def find(self, key: Key, now: float) -> Replay | None:  # type: ignore[override]  # as above
        raise LookupError

    def remember(self, key: Key, exchange: Exchange, response: Response) -> None:
        raise LookupError


async def test_when_it_fails_the_chain_answers() -> None:
    world = World(short=False)
    meter = Meter(Prices(), world.rows.append, response_headers=True)
    broken = Broken(b"k" * 32, world.store, meter, 1 << 20, Attribution(world.settings))
    world.snapshot = replace(world.snapshot, repeats=broken)
    got = [await world.ask(message()) for _ in range(3)]
    assert all(answer.startswith(b"HTTP/1.1 200 OK\r\n") for answer in got)
    assert [row.outcome for row in world.rows] == [Outcome.MISS, Outcome.HIT, Outcome.HIT]
    await world.end()
