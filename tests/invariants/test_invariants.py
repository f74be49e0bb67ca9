"""What must hold whatever happens, each tried on the whole chain of stages.

Each test's docstring names its invariant. Details are tested beside the code they are about.
"""

import asyncio
import io
import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from addons import Parts, chain
from config.schema import Log, Settings
from proxy.exchange.chain import Handler, Stage, compose
from proxy.exchange.errors import Refusal, UpstreamError
from proxy.exchange.headers import HeaderList
from proxy.exchange.model import Body, Exchange, Response
from proxy.exchange.record import CallRecord, Outcome
from proxy.exchange.usage import Usage
from proxy.logs import setup as setup_logs
from proxy.metrics import Metrics
from proxy.stores.base import Store
from proxy.stores.memory import MemoryStore
from proxy.stores.rules import Rules
from proxy.tasks import TaskSet
from tests.addons.streams import FIRST, WHOLE, BrokenStore, consumed
from tests.support.exchanges import (
    CHAT,
    CHAT_STREAM,
    REGISTRY,
    SSE,
    Fed,
    Origin,
    Pieces,
    answer,
    exchange,
    request,
    settings,
    turns,
)

ASKS_ITSELF = CHAT_STREAM[:-1] + b',"stream_options":{"include_usage":true}}'


class Flat:
    """Every token costs a thousand nano-dollars."""

    version = "flat"

    def cost(self, called: Exchange, usage: Usage | None) -> int | None:
        return None if usage is None else 1000 * (usage.input_tokens + usage.output_tokens)


class Whole:
    """The whole chain in front of an origin, with all that it settles."""

    def __init__(
        self,
        origin: Handler,
        *,
        store: Store | None = None,
        extra: tuple[Stage, ...] = (),
        configured: Settings | None = None,
    ) -> None:
        self.rows: list[CallRecord] = []
        self.failed: list[str] = []
        self.store: Store = store or MemoryStore(1 << 22)
        self.tasks = TaskSet()
        parts = Parts(
            registry=REGISTRY,
            pricing=Flat(),
            settled=self.settled,
            store=self.store,
            rules=Rules(),
            tasks=self.tasks,
            fingerprint_key=b"k" * 32,
            extra=extra,
        )
        self.stages = chain(configured or settings(), parts)
        self.handler = compose(self.stages, origin, self.note)

    def settled(self, row: CallRecord) -> None:
        self.rows.append(row)

    def note(self, stage: str, called: Exchange, failure: Exception) -> None:
        self.failed.append(stage)

    async def ask(self, body: bytes = ASKS_ITSELF, limit: int | None = None, **more: object) -> bytes:
        """One call, as the edge makes it."""
        called = exchange(request(body), **more)
        try:
            return await consumed(await self.handler(called), limit)
        except (UpstreamError, Refusal) as failure:
            called.error = failure.code
            raise
        finally:
            called.finish(101.0)
            await turns()


def streaming(*pieces: bytes | Exception, headers: HeaderList = SSE, count: int = 20) -> Origin:
    return Origin(*[answer(Pieces(*pieces), headers=headers) for _ in range(count)])


def cut(stream: bytes, at: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(place % (len(stream) + 1) for place in at)})
    return [stream[a:b] for a, b in itertools.pairwise(places)]


@given(st.binary(min_size=1, max_size=2000), st.lists(st.integers(0, 5000), max_size=10))
async def test_bytes_reach_the_client_unchanged_and_in_order(stream: bytes, at: list[int]) -> None:
    """1: whatever the origin sends, however it is cut, streamed or replayed."""
    whole = Whole(streaming(*cut(stream, at)))
    for _ in range(2):
        assert await whole.ask() == stream
    assert not whole.failed


@given(st.lists(st.integers(0, 5000), max_size=10))
async def test_a_replay_is_the_same_stream(at: list[int]) -> None:
    """1, 7: the second answer comes from the cache, byte for byte."""
    stream = b"".join(WHOLE)
    whole = Whole(streaming(*cut(stream, at)))
    assert [await whole.ask(), await whole.ask()] == [stream, stream]
    assert [row.outcome for row in whole.rows] == [Outcome.MISS, Outcome.HIT]


async def test_the_request_reaches_the_origin_as_it_was_sent() -> None:
    """1: unknown members, beta fields and the order of everything survive."""
    body = b'{ "model":"gpt-4o-mini", "x-new": [1.0, 1e2],"messages":[],"temperature":0 , "stream":false}'
    fields = [(b"openai-beta", b"x=y"), (b"x-a", b"1"), (b"x-a", b"2")]
    origin = Origin(answer())
    whole = Whole(origin)
    asked = request(body, headers=fields)
    await consumed(await whole.handler(exchange(asked)))
    sent = origin.asked[0]
    assert sent.body == body
    assert [field for field in sent.headers if field[0] != b"accept-encoding"] == asked.headers
    assert (sent.method, sent.target, sent.host) == (asked.method, asked.target, asked.host)


class Failing:
    """A stage with a bug, before or after the rest."""

    def __init__(self, *, after: bool) -> None:
        self.name = f"failing {after}"
        self._after = after

    async def handle(self, called: Exchange, call_next: Handler) -> Response:
        if self._after:
            await call_next(called)
        raise ZeroDivisionError


@pytest.mark.parametrize("after", [True, False])
async def test_a_failing_stage_fails_no_call(after: bool) -> None:
    """3"""
    whole = Whole(streaming(*WHOLE), extra=(Failing(after=after),))
    assert [await whole.ask(), await whole.ask()] == [b"".join(WHOLE)] * 2
    assert whole.failed == [f"failing {after}"] * 2
    assert [row.outcome for row in whole.rows] == [Outcome.MISS, Outcome.HIT]


async def test_a_failing_store_fails_no_call() -> None:
    """3"""
    whole = Whole(streaming(*WHOLE), store=BrokenStore())
    assert await whole.ask() == b"".join(WHOLE)
    assert len(whole.rows) == 1


async def test_a_failing_ledger_fails_no_call() -> None:
    """3"""

    class Broken(Whole):
        def settled(self, row: CallRecord) -> None:
            raise OSError("disk full")

    assert await Broken(streaming(*WHOLE)).ask() == b"".join(WHOLE)


async def test_only_a_refusal_or_an_unreachable_origin_makes_a_local_answer() -> None:
    """4: an origin's error is passed on as it is."""
    for status in (400, 401, 404, 429, 500, 503, 529):
        origin = Origin(answer(b'{"error":"theirs"}', status))
        assert await Whole(origin).ask(CHAT) == b'{"error":"theirs"}'
        assert len(origin.asked) == 1
    with pytest.raises(UpstreamError):
        await Whole(Origin(UpstreamError("dns_error", "no", sent=False))).ask(CHAT)


async def test_nothing_is_repeated_once_a_byte_has_come() -> None:
    """5"""
    broken = UpstreamError("connection_terminated", "closed")
    origin = Origin(broken, answer())
    await Whole(origin).ask(CHAT)
    assert len(origin.asked) == 2
    origin = streaming(FIRST, broken)
    with pytest.raises(UpstreamError):
        await Whole(origin).ask()
    assert len(origin.asked) == 1


async def test_a_client_that_leaves_settles_what_was_used_and_keeps_nothing() -> None:
    """6"""
    body = Fed()
    body.feed(FIRST)
    whole = Whole(Origin(answer(body, headers=SSE)))
    await whole.ask(limit=1)
    (row,) = whole.rows
    assert body.closed == 1
    assert row.estimated
    assert row.cost_nanousd
    assert whole.store.stats().entries == 0
    assert len(whole.tasks) == 0


async def test_a_flight_ends_with_its_last_reader_and_is_paid_once() -> None:
    """6"""
    body = Fed()

    async def origin(called: Exchange) -> Response:
        return answer(body, headers=SSE)

    whole = Whole(origin)
    called = [exchange(request(ASKS_ITSELF)) for _ in range(3)]
    responses = [await whole.handler(each) for each in called]
    body.feed(*WHOLE)
    for response, each in zip(responses[:2], called[:2], strict=True):
        await consumed(response, limit=1)
        each.error = "client_disconnected"
        each.finish(101.0)
    body.end()
    assert await consumed(responses[2]) == b"".join(WHOLE)
    called[2].finish(102.0)
    await turns()
    assert sorted(row.cost_nanousd or 0 for row in whole.rows) == [0, 0, 11_000]
    assert whole.store.stats().entries == 1


@given(st.integers(0, 600), st.booleans())
async def test_only_a_whole_answer_is_kept(length: int, breaks: bool) -> None:
    """7: cut off anywhere, by an end that looks proper or by one that does not."""
    stream = b"".join(WHOLE)
    length = min(length, len(stream))
    pieces: list[bytes | Exception] = [stream[:length]] if length else []
    if breaks:
        pieces.append(UpstreamError("http_response_incomplete", "cut"))
    whole = Whole(streaming(*pieces))
    try:
        await whole.ask()
    except UpstreamError:
        assert breaks
    is_whole = stream[:length].endswith(b"[DONE]\n\n") and not breaks
    assert whole.store.stats().entries == int(is_whole)


async def test_two_credentials_never_share_an_answer() -> None:
    """8: neither stored ones nor those in flight."""
    begun = asyncio.Event()

    async def origin(called: Exchange) -> Response:
        await begun.wait()
        return answer(dict(called.request.headers)[b"authorization"] + CHAT)

    whole = Whole(origin)
    keys = [b"sk-%d" % (number % 2) for number in range(6)]
    asking = [asyncio.ensure_future(whole.handler(exchange(request(CHAT, key=key)))) for key in keys]
    await turns()
    begun.set()
    bodies = [(await each).body for each in asking]
    assert bodies == [b"Bearer " + key + CHAT for key in keys]


async def test_secrets_and_prompts_show_nowhere() -> None:
    """10: not in logs, metrics, rows, errors, or the repr of what holds them."""
    secret, prompt = b"sk-TOPSECRET", b"the PROMPT itself"
    log = io.StringIO()
    setup_logs(Log(level="debug", format="json"), log)
    metrics = Metrics(100)
    body = CHAT.replace(b"hi", prompt)
    broken = RuntimeError("TOPSECRET PROMPT")
    shown: list[object] = []
    for origin in (Origin(answer()), Origin(UpstreamError("dns_error", "no")), Origin(broken)):
        whole = Whole(origin, extra=(Failing(after=True),))
        called = exchange(request(body, key=secret, target="/v1/chat/completions?key=TOPSECRET"))
        try:
            response = await whole.handler(called)
            shown += [response]
        except Exception as failure:
            if not isinstance(failure, RuntimeError):
                shown.append(failure)
        called.finish(101.0)
        await turns()
        shown += [called, called.request, *whole.rows, called.fingerprint, called.credential]
        for row in whole.rows:
            metrics.calls.observe(row)
    text = "".join(map(repr, shown)) + log.getvalue() + generate_latest(metrics.registry).decode()
    assert "TOPSECRET" not in text
    assert "PROMPT" not in text
    setup_logs(Log())


async def test_an_exchange_keeps_the_settings_it_began_with() -> None:
    """11"""
    begun = exchange()
    before = begun.settings
    await Whole(Origin(answer()), configured=settings(cache={"enabled": False})).handler(begun)
    assert begun.settings is before


@pytest.mark.parametrize(
    ("host", "target", "body"),
    [
        ("example.com", "/anything", b"\x00\xff not json"),
        ("api.openai.com", "/v99/unheard/of", b"\x00\xff not json"),
        ("api.openai.com", "/v1/chat/completions", b"{broken"),
        ("api.openai.com", "/v1/../secret", b"{}"),
    ],
)
async def test_what_is_unknown_passes_untouched_and_is_counted(host: str, target: str, body: bytes) -> None:
    """12"""
    origin = Origin(answer(b"\x00\xff", 418, [(b"content-type", b"x/y")]))
    whole = Whole(origin, configured=settings(cache={"response_headers": False}, compression={"ask_upstream": False}))
    asked = request(body, host=host, target=target)
    sent = replace(asked, headers=list(asked.headers))
    for _ in range(2):
        called = exchange(replace(asked, headers=list(asked.headers)))
        response = await whole.handler(called)
        assert (response.status, response.body, response.headers) == (418, b"\x00\xff", [(b"content-type", b"x/y")])
        called.finish(101.0)
    assert origin.asked == [sent, sent]
    assert [row.outcome for row in whole.rows] == [Outcome.BYPASS] * 2


async def test_rows_are_json() -> None:
    """What is settled is plain values."""
    whole = Whole(Origin(answer()))
    await whole.ask(CHAT)
    row = whole.rows[0]
    assert json.loads(json.dumps({name: getattr(row, name) for name in row.__slots__}))["outcome"] == "miss"


async def test_a_body_is_closed_whatever_happens() -> None:
    """Whoever opens a stream closes it."""
    for limit in (0, 1, None):
        body = Pieces(*WHOLE)
        held: list[Body] = [body]
        await Whole(Origin(answer(body, headers=SSE))).ask(limit=limit)
        assert isinstance(held[0], Pieces)
        assert body.closed == 1
