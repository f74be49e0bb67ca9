"""What is kept of hits, for how long, and when there is no short way. That it gives what the chain gives is shown in
tests/edge/test_repeats.py.
"""

import gc
from dataclasses import replace

import pytest

from addons import chain, repeats
from addons.attribution import Attribution
from addons.identify import Identify
from addons.meter import Meter
from addons.repeats import VOLATILE, KnownRepeats, Repeat
from proxy.exchange.canonical import canonical_headers
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import CallRecord, Outcome
from proxy.stores.base import Entry, Store, StoreStats
from proxy.stores.memory import MemoryStore
from proxy.wire.events import Likeness, RequestHead
from tests.addons.test_chain_list import Extra, parts
from tests.addons.test_meter import BrokenPrices, Prices
from tests.support.exchanges import JSON, REGISTRY, Pieces, exchange, request, settings

NOW = 1_000_000.0
PRINT = b"f" * 32


class Known:
    """Repeats with a store that holds one answer, and rows."""

    def __init__(self, *, limit_bytes: int = 1 << 20, prices: Prices | None = None) -> None:
        self.rows: list[CallRecord] = []
        self.store = MemoryStore(1 << 20)
        meter = Meter(prices or Prices(), self.rows.append, response_headers=True)
        self.repeats = KnownRepeats(b"k" * 32, self.store, meter, limit_bytes, Attribution(settings()))

    async def hold(self, body: bytes = b"{}", fingerprint: bytes = PRINT) -> Entry:
        """The store holds an answer; returns its entry."""
        made = Entry(200, list(JSON), body, False, NOW, 60.0, "openai", "chat", "m")
        await self.store.put(fingerprint, made)
        held = self.store.peek(fingerprint)
        assert held is not None
        return held

    def remember(self, entry: Entry | None, key: bytes = b"a", more: dict[str, object] | None = None) -> Exchange:
        """A call that was answered with it."""
        said: dict[str, object] = {
            "outcome": Outcome.HIT, "cache_status": "hit; ttl=60", "age_s": 0, "ttl_s": 60.0, "fingerprint": PRINT,
            "replayed": entry, "status": 200, **(more or {}),
        }  # fmt: skip
        called = exchange(request(), **said)
        self.repeats.remember((key, {}), called, self.response(entry))
        return called

    def response(self, entry: Entry | None) -> Response:
        fields = [
            *JSON, (b"cache-status", b"skinflint; hit; ttl=60"), (b"x-skinflint-cache", b"hit"), (b"age", b"0"),
            (b"x-skinflint-cost-usd", b"0"),
        ]  # fmt: skip
        return Response(200, fields, entry.body if entry is not None else b"")

    def find(self, key: bytes = b"a", after_s: float = 0.0) -> Repeat | None:
        return self.repeats.find((key, {}), NOW + after_s)


async def test_a_hit_is_found_again() -> None:
    known = Known()
    known.remember(await known.hold(b"{...}"))
    found = known.find()
    assert found is not None
    assert found.body == b"{...}"
    assert found.head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-status: skinflint; hit")
    assert found.head.endswith(b"age: 0\r\nx-skinflint-cost-usd: 0\r\ncontent-length: 5\r\n\r\n")


async def test_it_is_settled_like_the_call_it_repeats_with_labels_of_its_own() -> None:
    known = Known()
    known.remember(await known.hold(), more={"labels": {"app": "a"}, "stored_cost_nanousd": 7})
    found = known.find()
    assert found is not None
    found.settle({"app": "b"}, "id-2", NOW + 3, 0.001, 0.002)
    (row,) = known.rows
    assert (row.id, row.started_at, row.outcome, row.saved_nanousd) == ("id-2", NOW + 3, Outcome.HIT, 7)
    assert (row.first_byte_ms, row.total_ms, row.overhead_ms) == (1.0, 2.0, 1.0)
    assert (row.labels, row.price_version) == ({"app": "b"}, "v1")


async def test_a_ledger_that_fails_takes_nothing_back() -> None:
    known = Known()

    def fail(record: CallRecord) -> None:
        raise LookupError

    meter = Meter(Prices(), fail, response_headers=True)
    known.repeats = KnownRepeats(b"k" * 32, known.store, meter, 1 << 20, Attribution(settings()))
    known.remember(await known.hold())
    found = known.find()
    assert found is not None
    found.settle({}, "id-2", NOW, 0.0, 0.0)
    assert known.find() is found


async def test_an_answer_that_is_too_old_is_not_found() -> None:
    known = Known()
    known.remember(await known.hold())
    assert known.find(after_s=61) is None


async def test_an_answer_that_the_store_dropped_is_forgotten_and_not_kept_alive() -> None:
    known = Known()
    entry = await known.hold()
    known.remember(entry)
    await known.store.clear()
    found_while_alive = known.find()
    known.remember(entry)
    del entry
    gc.collect()
    await known.hold()
    assert found_while_alive is None
    assert known.find() is None


async def test_an_answer_that_was_replaced_is_forgotten() -> None:
    known = Known()
    known.remember(await known.hold(b"old"))
    await known.hold(b"new")
    assert known.find() is None


async def test_what_was_unused_for_longest_goes_first() -> None:
    known = Known(limit_bytes=40_000)
    entry = await known.hold(b"x" * 2_800)  # 4,848 bytes each: eight of them fit
    for number in range(8):
        known.remember(entry, key=b"%d" % number)
    assert known.find(b"0") is not None
    for _ in range(8):
        known.remember(entry, key=b"8")
    assert [number for number in range(9) if known.find(b"%d" % number) is None] == [1]


async def test_more_calls_than_fit_do_not_push_each_other_out() -> None:
    """Asked in turn, again and again, each would be dropped before it comes again."""
    known = Known(limit_bytes=40_000)
    entry = await known.hold(b"x" * 2_800)  # eight of them fit
    found = 0
    for _ in range(20):
        for number in range(10):
            if known.find(b"%d" % number) is not None:
                found += 1
            else:
                known.remember(entry, key=b"%d" % number)
    assert found > 100


async def test_the_same_call_is_counted_once() -> None:
    known = Known(limit_bytes=40_000)
    entry = await known.hold(b"x" * 2_800)
    known.remember(entry, key=b"other")
    for _ in range(20):
        known.remember(entry)
    assert known.find(b"other") is not None


@pytest.mark.parametrize("more", [{"outcome": Outcome.MISS}, {"replayed": None}, {"error": "client_disconnected"}])
async def test_what_is_no_plain_hit_is_not_kept(more: dict[str, object]) -> None:
    known = Known()
    known.remember(await known.hold(), more=more)
    assert known.find() is None


async def test_an_answer_that_is_too_large_is_not_kept() -> None:
    known = Known(limit_bytes=40_000)
    known.remember(await known.hold(b"x" * 5_001))
    assert known.find() is None


async def test_an_answer_that_somebody_added_to_is_not_kept() -> None:
    known = Known()
    entry = await known.hold()
    called = known.remember(entry)
    response = known.response(entry)
    response.headers.append((b"x-more", b"1"))
    known.repeats.remember((b"b", {}), called, response)
    assert known.find(b"b") is None


async def test_an_answer_in_pieces_is_not_kept() -> None:
    known = Known()
    called = known.remember(await known.hold())
    known.repeats.remember((b"b", {}), called, Response(200, list(JSON), Pieces(b"x")))
    assert known.find(b"b") is None


async def test_prices_are_not_asked_again() -> None:
    known = Known(prices=BrokenPrices())
    known.remember(await known.hold())
    found = known.find()
    assert found is not None
    found.settle({}, "id-2", NOW, 0.0, 0.0)
    assert len(known.rows) == 1


def head(target: bytes = b"/v1", *fields: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead(0, b"POST", target, b"a", list(fields), "1.1", 1, has_body=True)


def digest(known: KnownRepeats, caller: bytes, asked: RequestHead, body: bytes) -> bytes:
    key = known.key(caller, asked, body)
    assert key is not None
    return key[0]


def test_keys_differ_with_every_part_and_with_the_installation() -> None:
    known, rows = Known().repeats, list[CallRecord]()
    meter = Meter(Prices(), rows.append, response_headers=True)
    other = KnownRepeats(b"x" * 32, MemoryStore(1), meter, 1, Attribution(settings()))
    keys = [
        digest(known, b"a", head(), b"c"),
        digest(known, b"x", head(), b"c"),
        digest(known, b"a", head(b"/v2"), b"c"),
        digest(known, b"a", head(b"/v1", (b"accept", b"*")), b"c"),
        digest(known, b"a", head(), b"x"),
        digest(other, b"a", head(), b"c"),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == digest(known, b"a", head(b"/v1", (b"traceparent", b"00")), b"c")


def test_one_head_from_two_callers_is_two_calls() -> None:
    known, asked = Known().repeats, head()
    assert len({digest(known, caller, asked, b"c") for caller in (b"a", b"b")}) == 2


def like(first: RequestHead, *fields: tuple[bytes, bytes]) -> RequestHead:
    """As the codec gives a head that differs from the first in these fields."""
    changed = dict(fields)
    merged = [(name, changed.get(name, value)) for name, value in first.headers]
    return replace(first, headers=merged, like=Likeness(first, list(fields)), note=None)


APP = b"x-skinflint-label-app"
ASKED = (APP, b"one"), (b"traceparent", b"1"), (b"x-other", b"1")


@pytest.mark.parametrize(
    ("fields", "is_same"),
    [
        ([(APP, b"two")], True),
        ([(b"traceparent", b"2")], True),
        ([(APP, b"two"), (b"traceparent", b"2")], True),
        ([(b"x-other", b"2")], False),
        ([(APP, b"two"), (b"x-other", b"2")], False),
    ],
)
def test_a_head_that_is_like_another_has_the_key_that_it_has_by_itself(
    fields: list[tuple[bytes, bytes]], is_same: bool
) -> None:
    known = Known().repeats
    first = head(b"/v1", *ASKED)
    for before in (True, False):  # the first one was seen, or it was not
        if before:
            known.key(b"a", first, b"c")
        alike = like(first, *fields)
        key = known.key(b"a", alike, b"c")
        assert key == known.key(b"a", replace(alike, like=None, note=None), b"c")
        assert key is not None
        assert (key[0] == digest(known, b"a", first, b"c")) == is_same
        assert key[1] == {"app": dict(alike.headers)[APP].decode()}
        first.note = None


def test_a_large_body_is_not_looked_for() -> None:
    known = Known().repeats
    assert known.key(b"a", head(), b"x" * 262_144) is not None
    assert known.key(b"a", head(), b"x" * 262_145) is None


def test_a_field_is_only_left_out_that_the_fingerprint_leaves_out_too() -> None:
    assert list(canonical_headers([(name, b"1") for name in VOLATILE])) == []


# -- when there is a short way


class Waiting(Store):
    """A store that can say nothing at once."""

    async def get(self, key: bytes) -> Entry | None:
        return None

    async def put(self, key: bytes, entry: Entry) -> None:
        return None

    async def delete(self, key: bytes) -> bool:
        return False

    async def clear(self) -> int:
        return 0

    def stats(self) -> StoreStats:
        return StoreStats("waiting", 0, 0, 0, 0)


def short_way(*extra: Extra, store: Store | None = None, stages: int | None = None, **memory: object) -> bool:
    made = settings(cache={"memory": memory})
    given = parts([], *extra)
    if store is not None:
        given = replace(given, store=store)
    return repeats(chain(made, given)[:stages], made, given) is not None


def test_there_is_one_through_our_own_stages() -> None:
    assert short_way()


def test_there_is_none_when_others_must_see_every_call() -> None:
    assert not short_way(Extra())


def test_there_is_none_when_it_is_turned_off() -> None:
    assert not short_way(repeats_max_bytes=0)


def test_there_is_none_when_nothing_is_cached() -> None:
    made = settings(cache={"enabled": False})
    assert repeats(chain(made, parts([])), made, parts([])) is None


def test_there_is_none_with_a_store_that_cannot_answer_at_once() -> None:
    assert not short_way(store=Waiting())


@pytest.mark.parametrize("stages", [0, 3])
def test_there_is_none_without_a_cache(stages: int) -> None:
    assert not short_way(stages=stages)


def test_a_stage_that_is_built_on_one_of_ours_is_none_of_ours() -> None:
    class OtherIdentify(Identify):
        pass

    made, given = settings(), parts([])
    stages = chain(made, given)
    ours = stages[1]
    stages[1] = OtherIdentify(REGISTRY, made)
    assert ours.name == stages[1].name
    assert repeats(stages, made, given) is None


async def test_only_a_body_that_was_answered_before_is_looked_for() -> None:
    known = Known()
    body = request().body
    assert isinstance(body, bytes)
    assert not known.repeats.may_know(body)
    entry = await known.hold()
    known.remember(entry)
    known.remember(entry, key=b"b")
    assert known.repeats.may_know(body)
    assert not known.repeats.may_know(body + b" ")
    await known.store.delete(PRINT)
    assert known.find() is None
    assert known.repeats.may_know(body)  # the other call has it too
    assert known.find(b"b") is None
    assert not known.repeats.may_know(body)
