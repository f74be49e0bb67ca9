"""Whatever arrays of inputs overlap, and however they meet: everybody gets what the provider alone would have answered,
in order, and the rows of the ledger add up to what the provider charged.
"""

import asyncio

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.exchange.elements import shared_out
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import Outcome
from tests.addons.embedder import MODEL, Embedder, Proxied, answered

inputs = st.sampled_from(["a", "bb", "ccc", "dddd", 'é\n"', [1], [2, 3], [4, 5, 6]])
texts = st.lists(inputs.filter(lambda each: isinstance(each, str)), min_size=1, max_size=6)
numbers = st.lists(inputs.filter(lambda each: isinstance(each, list)), min_size=1, max_size=4)
arrays = st.one_of(texts, numbers, inputs)
# How many turns of the loop pass before it begins; its inputs; whether its client leaves, and after how many turns.
calls = st.lists(st.tuples(st.integers(0, 12), arrays, st.none() | st.integers(0, 12)), min_size=1, max_size=10)


class Slow(Embedder):
    """Answers after some turns of the loop, and refuses what it does not like."""

    def __init__(self, delays: list[int], bad: object) -> None:
        super().__init__()
        self._delays = delays
        self.bad = bad

    async def __call__(self, called: Exchange) -> Response:
        for _ in range(self._delays[len(self.asked) % len(self._delays)]):
            await asyncio.sleep(0)
        return await super().__call__(called)


async def play(origin: Embedder, proxied: Proxied, script: list[tuple[int, object, int | None]]) -> list[object]:
    """Run all calls; returns their documents, None for those whose client has left."""

    async def call(turns: int, wanted: object) -> object:
        for _ in range(turns):
            await asyncio.sleep(0)
        response = await proxied.ask(wanted)
        assert isinstance(response.body, bytes)
        return orjson.loads(response.body)

    async def leave(task: asyncio.Task[object], turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()

    tasks = [asyncio.create_task(call(turns, wanted)) for turns, wanted, _ in script]
    leaving = [
        asyncio.create_task(leave(task, turns + gone))
        for task, (turns, _, gone) in zip(tasks, script, strict=True)
        if gone is not None
    ]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*leaving)
    await proxied.quiet()
    assert not proxied.failed
    return [None if isinstance(each, asyncio.CancelledError) else each for each in found]


def expected(wanted: object, bad: object) -> object:
    """What the provider alone would have answered."""
    listed = wanted if isinstance(wanted, list) and not isinstance(wanted[0], int) else [wanted]
    if bad in listed:
        message = f"input[{listed.index(bad)}] is bad"
        return {"error": {"message": message, "type": "invalid_request_error"}}
    return orjson.loads(answered(orjson.dumps({"model": MODEL, "input": wanted})))


@settings(max_examples=150, deadline=None)
@given(
    script=calls,
    delays=st.lists(st.integers(0, 20), min_size=1, max_size=5),
    bad=st.none() | st.just("ccc"),
    wait_ms=st.sampled_from([0, 1]),
)
def test_everybody_gets_what_the_provider_alone_would_have_answered(
    script: list[tuple[int, object, int | None]], delays: list[int], bad: object, wait_ms: int
) -> None:
    origin = Slow(delays, bad)

    async def scenario() -> tuple[Proxied, list[object]]:
        proxied = Proxied(origin, batch={"wait_ms": wait_ms})
        return proxied, await play(origin, proxied, script)

    proxied, documents = asyncio.run(scenario())
    for (_, wanted, _), document in zip(script, documents, strict=True):
        if document is not None:
            assert document == expected(wanted, bad)
    assert sum(row.cost_nanousd or 0 for row in proxied.rows) == 1000 * origin.charged_tokens
    for row in proxied.rows:
        if row.outcome in (Outcome.MISS, Outcome.HIT, Outcome.COLLAPSED) and row.status == 200:
            value = (row.cost_nanousd or 0) + (row.saved_nanousd or 0)
            assert value == 1000 * row.input_tokens or (bad is not None and value > 1000 * row.input_tokens)


@given(script=calls)
@settings(max_examples=50, deadline=None)
def test_what_has_been_paid_is_never_paid_again(script: list[tuple[int, object, int | None]]) -> None:
    origin = Embedder()

    async def scenario() -> None:
        proxied = Proxied(origin)
        for _, wanted, _ in script:
            await proxied.ask(wanted)
            await proxied.quiet()

    asyncio.run(scenario())
    sent = [each for inputs in origin.inputs() for each in dict.fromkeys(map(orjson.dumps, inputs))]
    assert len(sent) == len(set(sent))


@given(total=st.integers(0, 10**12), weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=50))
def test_shares_add_up_and_are_off_by_less_than_one(total: int, weights: list[int]) -> None:
    shares = shared_out(total, weights)
    assert sum(shares) == total
    whole = sum(weights)
    for share, weight in zip(shares, weights, strict=True):
        assert share >= 0
        if whole:
            assert abs(share * whole - total * weight) < whole
