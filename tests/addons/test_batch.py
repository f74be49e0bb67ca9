"""Embeddings by element: what goes upstream, what comes back, who pays, and what stays whole."""

import asyncio
from gzip import compress

import orjson
import pytest

from addons.batch.parts import Frames
from proxy.exchange.errors import ExchangeError, Refusal, UpstreamError
from proxy.exchange.headers import first
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import Outcome
from proxy.exchange.usage import Usage
from proxy.stores.base import Entry, Store, StoreStats
from proxy.stores.memory import MemoryStore
from proxy.stores.rules import Kind, Rule
from tests.addons.embedder import MODEL, Embedder, PerToken, Proxied, answered, counted
from tests.addons.streams import consumed
from tests.support.exchanges import JSON, Pieces, turns


def alone(given: object, **options: object) -> object:
    """What the provider alone would have answered."""
    return orjson.loads(answered(orjson.dumps({"model": MODEL, "input": given, **options})))


def document(response: Response) -> object:
    assert isinstance(response.body, bytes)
    return orjson.loads(response.body)


def status(response: Response) -> bytes:
    return first(response.headers, b"cache-status") or b""


async def test_a_call_of_which_nothing_is_stored_goes_on_byte_for_byte_and_its_answer_comes_so() -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    raw = b'{ "input" : ["a" ,\n"b"],"model":"text-embedding-3-small" }'
    response = await proxied.ask(None, raw=raw)
    assert origin.asked == [raw]
    assert response.body == answered(raw)
    assert status(response) == b"skinflint; fwd=uri-miss"
    assert first(response.headers, b"set-cookie") == b"a=b"


async def test_only_what_is_missing_goes_upstream() -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    await proxied.ask(["a", "b"])
    response = await proxied.ask(["b", "new", "a", "nëw 2"])
    assert origin.inputs() == [["a", "b"], ["new", "nëw 2"]]
    assert document(response) == alone(["b", "new", "a", "nëw 2"])
    assert status(response) == b'skinflint; fwd=partial; detail="2 of 4 stored"'
    assert first(response.headers, b"x-request-id") == b"r-2"
    assert first(response.headers, b"set-cookie") is None
    row = proxied.rows[1]
    assert (row.outcome, row.input_tokens) == (Outcome.MISS, 2 + 3 + 6)
    assert (row.cost_nanousd, row.saved_nanousd) == (9_000, 2_000)
    assert first(response.headers, b"x-skinflint-cost-usd") == b"0.000009"


async def test_what_is_stored_in_parts_is_a_hit() -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    await proxied.ask(["a", "b"])
    proxied.clock.now += 7
    await proxied.ask("ccc")
    proxied.clock.now += 5
    response = await proxied.ask(["ccc", "a"])
    assert len(origin.asked) == 2
    assert document(response) == alone(["ccc", "a"])
    row = proxied.rows[2]
    assert (row.outcome, row.input_tokens, row.cost_nanousd, row.saved_nanousd) == (Outcome.HIT, 4, 0, 4_000)
    assert first(response.headers, b"age") == b"12"
    assert status(response) == b"skinflint; hit; ttl=%d" % (86_400 - 12)
    assert first(response.headers, b"content-type") == b"application/json"


async def test_one_text_alone_and_in_an_array_are_the_same() -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    await proxied.ask("alone")
    assert document(await proxied.ask(["alone"])) == alone("alone")
    await proxied.ask([1, 2, 3])
    assert document(await proxied.ask([[1, 2, 3]])) == alone([1, 2, 3])
    assert len(origin.asked) == 2


async def test_the_same_call_again_is_one_lookup_of_the_whole() -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    called = [proxied.exchange(["a", "b"]) for _ in range(2)]
    bodies = [(await proxied.run(each)).body for each in called]
    assert bodies[0] == bodies[1]
    assert called[1].replayed is not None  # the short way knows it from now on


async def test_an_input_that_stands_twice_is_asked_once_and_counted_twice() -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    await proxied.ask(["a"])
    response = await proxied.ask(["bb", "a", "bb", "a"])
    assert origin.inputs()[1:] == [["bb"]]
    assert document(response) == alone(["bb", "a", "bb", "a"])
    row = proxied.rows[1]
    assert (row.input_tokens, row.cost_nanousd, row.saved_nanousd) == (6, 2_000, 4_000)


@pytest.mark.parametrize(
    "options",
    [{"model": "other"}, {"dimensions": 64}, {"encoding_format": "base64"}, {"user": "u"}, {"key": b"sk-two"}],
)
async def test_other_options_and_other_credentials_share_nothing(options: dict[str, object]) -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    await proxied.ask(["a", "b"])
    await proxied.ask(["a", "c"], **options)  # type: ignore[arg-type]
    assert origin.inputs()[1] == ["a", "c"]


@pytest.mark.parametrize("control", [b"no-store", b"no-cache", b"max-age=3"])
async def test_a_client_that_wants_no_stored_answer_gets_none(control: bytes) -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    await proxied.ask(["a", "b"])
    proxied.clock.now += 5
    await proxied.ask(["a", "c"], (b"cache-control", control))
    assert origin.inputs()[1] == ["a", "c"]


async def test_old_parts_are_asked_anew() -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    await proxied.ask(["a", "b"])
    proxied.clock.now += 86_401
    await proxied.ask(["b", "c"])
    assert origin.inputs()[1] == ["b", "c"]


@pytest.mark.parametrize(
    "sections",
    [
        {"batch": {"enabled": False}},
        {"cache": {"operations": {"embeddings": {"elements": False}}}},
        {"cache": {"enabled": False}},
    ],
)
async def test_the_settings_can_turn_it_off(sections: dict[str, object]) -> None:
    origin = Embedder()
    proxied = Proxied(origin, **sections)
    await proxied.ask(["a", "b"])
    await proxied.ask(["a", "c"])
    assert origin.inputs()[1] == ["a", "c"]


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({"late_chunking": True}, []),
        ({}, [(b"content-md5", b"x")]),
        ({}, [(b"authorization", b"AWS4-HMAC-SHA256 Credential=x")]),
    ],
)
async def test_what_is_not_known_in_full_stays_whole(
    options: dict[str, object], headers: list[tuple[bytes, bytes]]
) -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    await proxied.ask(["a", "b"], *headers, **options)
    await proxied.ask(["a", "c"], *headers, **options)
    assert origin.inputs()[1] == ["a", "c"]


async def test_arrays_longer_than_a_call_may_be_stay_whole() -> None:
    origin = Embedder()
    proxied = Proxied(origin, batch={"max_inputs": 2})
    await proxied.ask(["a", "b"])
    await proxied.ask(["a", "b", "c"])
    assert origin.inputs()[1] == ["a", "b", "c"]


async def test_an_answer_that_is_not_understood_ends_the_taking_apart() -> None:
    origin = Embedder()
    origin.change = lambda body: body.replace(b'"total_tokens"', b'"seconds":3,"total_tokens"')
    proxied = Proxied(origin)
    first_answer = await proxied.ask(["a", "b"])
    assert first_answer.body == origin.change(answered(origin.asked[0]))
    await proxied.ask(["a", "c"])
    assert origin.inputs() == [["a", "b"], ["a", "c"]]


async def test_vectors_of_two_models_never_stand_in_one_answer() -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    origin.model = "m-1"
    await proxied.ask(["a"])
    origin.model = "m-2"
    response = await proxied.ask(["a", "b"])
    assert origin.inputs() == [["a"], ["b"], ["a", "b"]]
    assert document(response) == orjson.loads(answered(origin.asked[-1], "m-2"))
    assert sum(row.cost_nanousd or 0 for row in proxied.rows) == 1000 * origin.charged_tokens
    assert document(await proxied.ask(["b", "a"])) == orjson.loads(
        answered(orjson.dumps({"model": MODEL, "input": ["b", "a"]}), "m-2")
    )
    assert len(origin.asked) == 3


# -- together with others


class Rush:
    """Calls that are all under way at once; the origin answers when it is told to."""

    def __init__(self, **sections: object) -> None:
        self.origin = Embedder()
        self.origin.gate = asyncio.Event()
        self.proxied = Proxied(self.origin, **sections)
        self.calls: list[Exchange] = []
        self.tasks: list[asyncio.Task[Response]] = []

    async def begin(self, *given: object, **options: object) -> None:
        for each in given:
            called = self.proxied.exchange(each, **options)  # type: ignore[arg-type]
            self.calls.append(called)
            self.tasks.append(asyncio.create_task(self.proxied.run(called)))
        await turns(3)  # all begin in one turn, before any timer

    async def until_asked(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.origin.asked) < count:
                await asyncio.sleep(0.001)

    async def end(self) -> list[object]:
        assert self.origin.gate is not None
        self.origin.gate.set()
        answers = await asyncio.gather(*self.tasks)
        await self.proxied.quiet()
        assert not self.proxied.failed
        return [document(answer) for answer in answers]

    def row(self, at: int) -> tuple[Outcome, int | None, int | None]:
        row = next(row for row in self.proxied.rows if row.request_bytes == self.calls[at].body_size)
        return row.outcome, row.cost_nanousd, row.saved_nanousd


async def test_the_first_goes_at_once_and_those_who_come_meanwhile_go_together() -> None:
    rush = Rush()
    await rush.begin(["a"], ["bb"], ["ccc", "a"], ["bb", "dddd"])
    await rush.until_asked(2)
    assert rush.origin.inputs() == [["a"], ["bb", "ccc", "dddd"]]
    assert await rush.end() == [alone(["a"]), alone(["bb"]), alone(["ccc", "a"]), alone(["bb", "dddd"])]
    assert [rush.row(at) for at in range(4)] == [
        (Outcome.MISS, 1_000, 0),
        (Outcome.MISS, 2_000, 0),
        (Outcome.MISS, 3_000, 1_000),
        (Outcome.MISS, 4_000, 2_000),
    ]
    assert not rush.proxied.tasks


async def test_who_waits_goes_as_soon_as_nothing_else_is_under_way() -> None:
    rush = Rush(batch={"wait_ms": 1000})
    await rush.begin(["a"], ["b"])
    async with asyncio.timeout(0.9):
        assert await rush.end() == [alone(["a"]), alone(["b"])]
    assert rush.origin.inputs() == [["a"], ["b"]]


async def test_who_wants_only_what_is_under_way_pays_nothing() -> None:
    rush = Rush()
    await rush.begin(["a", "b", "c"], ["c", "b"])
    answers = await rush.end()
    assert answers[1] == alone(["c", "b"])
    assert rush.origin.inputs() == [["a", "b", "c"]]
    assert rush.row(1) == (Outcome.COLLAPSED, 0, 2_000)


async def test_identical_calls_are_joined_as_a_whole() -> None:
    rush = Rush()
    await rush.begin(["a", "b"], ["a", "b"])
    answers = await rush.end()
    assert answers[0] == answers[1]
    assert rush.calls[1].cache_status == "fwd=uri-miss; collapsed"
    assert len(rush.origin.asked) == 1


async def test_without_collapse_each_goes_by_itself() -> None:
    rush = Rush(collapse={"enabled": False})
    await rush.begin(["a"], ["a", "b"], ["c"])
    await rush.until_asked(3)
    await rush.end()
    assert rush.origin.inputs() == [["a"], ["a", "b"], ["c"]]


async def test_many_inputs_wait_for_nobody() -> None:
    rush = Rush(batch={"max_waiting": 2, "wait_ms": 1000})
    await rush.begin(["a"], ["b", "c", "d"])
    assert rush.origin.inputs() == [["a"], ["b", "c", "d"]]
    await rush.end()


@pytest.mark.parametrize("limits", [{"max_inputs": 3}, {"max_bytes": 1024}])
async def test_a_call_takes_no_more_than_its_limits(limits: dict[str, int]) -> None:
    rush = Rush(batch=limits)
    given = [[letter * 170, letter * 171] for letter in "abcde"]
    await rush.begin(["first"], *given)
    await rush.until_asked(2)
    answers = await rush.end()
    assert answers[1:] == [alone(each) for each in given]
    most = 2 if "max_inputs" in limits else 4
    assert [len(inputs) for inputs in rush.origin.inputs()] == ([1] + [2] * 5 if most == 2 else [1, 4, 4, 2])


async def test_other_credentials_never_go_together() -> None:
    rush = Rush()
    await rush.begin(["a"])
    await rush.begin(["b"], key=b"sk-two")
    await rush.begin(["c"], key=b"sk-three")
    assert rush.origin.inputs() == [["a"], ["b"], ["c"]]
    await rush.end()


async def test_servers_that_differ_go_together_only_once_they_were_understood() -> None:
    rush = Rush()

    def calls(*given: object) -> None:
        for each in given:
            called = rush.proxied.exchange(each)
            called.request.host, called.request.target = "api.together.xyz", "/v1/embeddings"
            rush.calls.append(called)
            rush.tasks.append(asyncio.create_task(rush.proxied.run(called)))

    calls(["a"], ["b"], ["c"])
    await turns(10)
    assert rush.origin.inputs() == [["a"], ["b"], ["c"]]
    await rush.end()
    rush.origin.gate = asyncio.Event()
    calls(["d"], ["e"], ["f"])
    await rush.until_asked(5)
    assert rush.origin.inputs()[3:] == [["d"], ["e", "f"]]
    await rush.end()


async def test_one_bad_input_fails_nobody_else() -> None:
    rush = Rush()
    rush.origin.bad = "bad"
    await rush.begin(["a"], ["b"], ["c", "bad"], ["d"])
    await rush.until_asked(2)
    answers = await rush.end()
    assert answers[1] == alone(["b"])
    assert answers[3] == alone(["d"])
    assert answers[2] == {"error": {"message": "input[1] is bad", "type": "invalid_request_error"}}
    assert rush.origin.inputs()[2:] == [["b"], ["c", "bad"], ["d"]]
    assert sum(row.cost_nanousd or 0 for row in rush.proxied.rows) == 1000 * rush.origin.charged_tokens


async def test_a_bad_input_among_stored_ones_is_named_as_the_provider_would() -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    await proxied.ask(["a"])
    origin.bad = "bad"
    response = await proxied.ask(["a", "bad"])
    assert response.status == 400
    assert document(response) == {"error": {"message": "input[1] is bad", "type": "invalid_request_error"}}


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_what_fails_upstream_fails_for_all_who_share_it(code: int) -> None:
    rush = Rush()
    await rush.begin(["a"])
    rush.origin.fails = Response(code, [*JSON, (b"retry-after", b"1")], b'{"error":{"message":"no"}}')
    await rush.begin(["b"], ["c"])
    await rush.until_asked(2)
    answers = await rush.end()
    assert answers[1:] == [{"error": {"message": "no"}}] * 2
    assert [row.status for row in rush.proxied.rows] == [code] * 3
    # A limit may be about the size of what went together.
    assert len(rush.origin.asked) == (4 if code == 429 else 2)


async def test_a_limit_on_the_missing_ones_is_handed_on() -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    await proxied.ask(["a"])
    origin.fails = Response(429, list(JSON), b"{}")
    assert (await proxied.ask(["a", "b"])).status == 429
    assert len(origin.asked) == 2


async def test_a_connection_that_breaks_fails_for_all_who_share_it() -> None:
    rush = Rush()
    await rush.begin(["a"])
    await rush.begin(["b"], ["c"])
    await rush.until_asked(2)
    rush.origin.fails = UpstreamError("connection_timeout", "too late", status=504)
    assert rush.origin.gate is not None
    rush.origin.gate.set()
    failures = await asyncio.gather(*rush.tasks, return_exceptions=True)
    assert [type(each) for each in failures] == [UpstreamError] * 3
    assert len({id(each) for each in failures}) == 3
    assert len(rush.origin.asked) == 2


async def test_those_who_wait_for_a_call_that_fails_make_their_own() -> None:
    rush = Rush()
    await rush.begin(["a", "b"], ["b"])
    rush.origin.fails = Response(500, list(JSON), b"{}")
    assert await rush.end() == [{}, {}]
    assert rush.origin.inputs() == [["a", "b"], ["b"]]


async def test_a_client_that_leaves_harms_no_other_and_pays_for_what_it_asked() -> None:
    rush = Rush()
    await rush.begin(["a"], ["bb"], ["ccc", "bb"])
    await rush.until_asked(2)
    rush.tasks.pop(1).cancel()
    await turns()
    answers = await rush.end()
    assert answers == [alone(["a"]), alone(["ccc", "bb"])]
    assert rush.row(1) == (Outcome.ERROR, 2_000, 0)
    assert rush.row(2) == (Outcome.MISS, 3_000, 2_000)
    gone = next(row for row in rush.proxied.rows if row.outcome is Outcome.ERROR)
    assert (gone.input_tokens, gone.error) == (2, "client_disconnected")


async def test_what_nobody_waits_for_any_more_is_not_sent() -> None:
    rush = Rush(batch={"wait_ms": 1000})
    await rush.begin(["a"], ["bbb"], ["ccc", "dd"], ["dd"])
    rush.tasks.pop(2).cancel()
    rush.tasks.pop(1).cancel()
    await turns()
    answers = await rush.end()
    assert answers == [alone(["a"]), alone(["dd"])]
    assert rush.origin.inputs() == [["a"], ["dd"]]
    assert rush.row(1) == (Outcome.ERROR, 0, 0)
    assert rush.row(2) == (Outcome.ERROR, 0, 0)
    assert rush.row(3) == (Outcome.MISS, 2_000, 0)
    assert len(rush.proxied.rows) == 4


async def test_who_leads_and_leaves_harms_nobody() -> None:
    rush = Rush()
    await rush.begin(["a", "b"], ["b", "c"])
    rush.tasks.pop(0).cancel()
    await turns()
    assert await rush.end() == [alone(["b", "c"])]


async def test_what_came_before_an_invalidation_is_given_to_nobody_after_it() -> None:
    rush = Rush()
    await rush.begin(["a", "b"])
    rush.proxied.rules.add(Rule(Kind.ALL, "", 1_000))
    await rush.begin(["b"])
    await rush.end()
    assert "b" in [value for inputs in rush.origin.inputs()[1:] for value in inputs]


async def test_answers_in_a_content_coding_are_read() -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    plain = Embedder.__call__

    async def packed(called: Exchange) -> Response:
        response = await plain(origin, called)
        assert isinstance(response.body, bytes)
        return Response(200, [*response.headers, (b"content-encoding", b"gzip")], compress(response.body))

    proxied.through(packed)
    await proxied.ask(["a"])
    response = await proxied.ask(["a", "b"])
    assert origin.inputs() == [["a"], ["b"]]
    assert document(response) == alone(["a", "b"])


def test_the_embedder_counts_bytes() -> None:
    assert (counted("ab"), counted([1, 2, 3])) == (2, 3)


async def in_pieces(origin: Embedder, called: Exchange, *more: bytes | Exception) -> Response:
    response = await origin(called)
    assert isinstance(response.body, bytes)
    half = len(response.body) // 2
    return Response(200, response.headers, Pieces(response.body[:half], *more, response.body[half:]))


async def test_answers_that_come_in_pieces_are_read_too() -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    proxied.through(lambda called: in_pieces(origin, called))
    first_answer = await proxied.handler(proxied.exchange(["a", "b"]))
    assert orjson.loads(await consumed(first_answer)) == alone(["a", "b"])
    await proxied.quiet()
    assert document(await proxied.ask(["b", "c"])) == alone(["b", "c"])
    assert origin.inputs() == [["a", "b"], ["c"]]


async def test_an_answer_that_breaks_off_is_a_failure() -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    await proxied.ask(["a"])
    proxied.through(lambda called: in_pieces(origin, called, UpstreamError("http_response_incomplete", "broken off")))
    with pytest.raises(UpstreamError):
        await proxied.ask(["a", "b"])
    proxied.through(origin)
    await proxied.ask(["a", "b"])
    assert origin.inputs()[2] == ["b"]


async def test_answers_too_large_to_hold_are_asked_for_as_a_whole() -> None:
    origin = Embedder()
    proxied = Proxied(origin, limits={"max_answer_bytes": 1024})
    await proxied.ask(["a"])
    proxied.through(lambda called: in_pieces(origin, called, b" " * 2048))
    response = await proxied.handler(proxied.exchange(["a", "b"]))
    await consumed(response)
    await proxied.quiet()
    assert origin.inputs() == [["a"], ["b"], ["a", "b"]]


async def test_vectors_larger_than_the_policy_allows_are_not_kept() -> None:
    origin = Embedder()
    proxied = Proxied(origin, cache={"max_bytes": 8})
    await proxied.ask(["a", "b"])
    await proxied.ask(["a", "c"])
    assert origin.inputs()[1] == ["a", "c"]


async def test_an_unknown_price_stays_unknown_for_every_part() -> None:
    origin = Embedder()
    proxied = Proxied(origin, prices=Unpriced())
    for given in (["a"], ["a", "b"], ["b", "a"]):
        await proxied.ask(given)
    assert [(row.cost_nanousd, row.saved_nanousd) for row in proxied.rows] == [(None, 0), (None, None), (0, None)]


class Unpriced(PerToken):
    def cost(self, called: Exchange, usage: Usage | None) -> int | None:
        return None if usage is not None else 0


class Distant:
    """A store that must be waited for."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, key: bytes) -> Entry | None:
        await asyncio.sleep(0)
        return await self._store.get(key)

    async def put(self, key: bytes, entry: Entry) -> None:
        await self._store.put(key, entry)

    async def delete(self, key: bytes) -> bool:
        return await self._store.delete(key)

    async def clear(self) -> int:
        return await self._store.clear()

    def stats(self) -> StoreStats:
        return self._store.stats()


async def test_a_store_that_must_be_waited_for_is_asked_for_all_at_once() -> None:
    origin = Embedder()
    proxied = Proxied(origin, store=Distant(MemoryStore(1 << 20)))
    await proxied.ask([f"text {number}" for number in range(20)])
    await proxied.quiet()
    response = await proxied.ask(["text 3", "new", "text 19"])
    assert origin.inputs()[1] == ["new"]
    assert document(response) == alone(["text 3", "new", "text 19"])


@pytest.mark.parametrize("mode", [b"read", b"write", b"off", b"refresh"])
async def test_who_asks_for_something_special_of_the_cache_gets_the_whole_from_upstream(mode: bytes) -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    await proxied.ask(["a", "b"])
    await proxied.ask(["a", "c"], (b"x-skinflint-cache", mode))
    assert origin.inputs()[1] == ["a", "c"]


async def test_namespaces_share_nothing() -> None:
    origin = Embedder()
    proxied = Proxied(origin)
    await proxied.ask(["a", "b"])
    await proxied.ask(["a", "c"], (b"x-skinflint-namespace", b"other"))
    assert origin.inputs()[1] == ["a", "c"]


async def test_of_many_frames_the_longest_unused_is_forgotten_unless_it_is_busy() -> None:
    frames = Frames(2)
    busy, idle = frames.get(b"1", 9), frames.get(b"2", 9)
    busy.under_way = 1
    frames.get(b"3", 9)
    assert frames.get(b"1", 9) is busy
    frames.get(b"4", 9)
    assert frames.get(b"2", 9) is not idle


@pytest.mark.parametrize(
    "failure", [ExchangeError("a", "b", status=500), Refusal("a", "b", status=403), UpstreamError("a", "b", sent=False)]
)
async def test_all_who_share_a_call_share_its_failure(failure: ExchangeError) -> None:
    rush = Rush()
    await rush.begin(["a"], ["b"], ["c"])
    await rush.until_asked(2)
    rush.origin.fails = failure
    assert rush.origin.gate is not None
    rush.origin.gate.set()
    failures = await asyncio.gather(*rush.tasks, return_exceptions=True)
    assert {(type(each), str(each)) for each in failures} == {(type(failure), "b")}
