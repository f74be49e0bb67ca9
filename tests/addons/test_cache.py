"""What is answered from the store, what goes into it, and what must never."""

import zlib

import pytest

from proxy.exchange.chain import compose
from proxy.exchange.errors import Refusal, UpstreamError
from proxy.exchange.headers import HeaderList, first
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import Outcome
from tests.addons.streams import DONE, FIRST, SECOND, USAGE, WHOLE, BrokenStore, Cached, chatting, consumed
from tests.support.exchanges import (
    CHAT,
    CHAT_ANSWER,
    JSON,
    REGISTRY,
    SSE,
    Origin,
    Pieces,
    answer,
    settings,
    turns,
)

FIELDS: HeaderList = [*SSE, (b"x-request-id", b"1"), (b"vary", b"a"), (b"vary", b"b")]


def streaming(*pieces: bytes | Exception, headers: HeaderList = FIELDS, status: int = 200) -> Origin:
    return Origin(*[answer(Pieces(*pieces), status, headers) for _ in range(9)])


def with_control(value: bytes) -> Exchange:
    called = chatting()
    called.request.headers.append((b"cache-control", value))
    return called


async def filled(cached: Cached) -> bytes:
    """One miss that fills the store."""
    body = await consumed(await cached.ask(chatting(), streaming(*WHOLE)))
    assert cached.entries() == 1
    return body


async def test_a_complete_stream_is_stored_and_replayed_byte_for_byte() -> None:
    cached, called, origin = Cached(), chatting(), streaming(*WHOLE)
    assert await consumed(await cached.ask(called, origin)) == b"".join(WHOLE)
    assert called.outcome is Outcome.MISS
    assert called.cache_status == "fwd=uri-miss"
    cached.clock.now += 5
    again = chatting()
    response = await cached.ask(again, origin)
    assert (response.status, response.headers, response.body) == (200, FIELDS, b"".join(WHOLE))
    assert again.outcome is Outcome.HIT
    assert again.cache_status == "hit; ttl=55"
    assert again.age_s == 5
    assert again.stored_cost_nanousd == 11_000
    assert again.stored_usage is not None
    assert again.stored_usage.input_tokens == 9
    assert len(origin.asked) == 1


async def test_an_answer_in_one_piece_is_stored_too() -> None:
    cached, origin = Cached(), Origin(answer())
    for _ in range(2):
        assert (await cached.ask(chatting(CHAT), origin)).body == CHAT_ANSWER
    assert len(origin.asked) == 1


async def test_who_gets_a_hit_cannot_change_what_is_stored() -> None:
    cached = Cached()
    await filled(cached)
    (await cached.ask(chatting(), streaming())).headers.append((b"x-mine", b"1"))
    assert first((await cached.ask(chatting(), streaming())).headers, b"x-mine") is None


@pytest.mark.parametrize("size", [0, 1, 511, 512, 100_000])
async def test_bodies_of_every_size_come_back_as_they_were(size: int) -> None:
    provider = REGISTRY.by_name("openai")
    assert provider is not None
    speech = provider.operation("POST", "/v1/audio/speech")
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    cached, origin = Cached(), Origin(answer(body, headers=[(b"content-type", b"audio/mpeg")]))
    for _ in range(2):
        assert (await cached.ask(chatting(CHAT, operation=speech), origin)).body == body
    assert len(origin.asked) == (1 if size else 2)  # an empty body has no end mark


@pytest.mark.parametrize("coding", [b"gzip", b"unknown"])
async def test_a_compressed_original_is_kept_as_it_came(coding: bytes) -> None:
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(CHAT_ANSWER) + packer.flush()
    headers = [*JSON, (b"content-encoding", coding)]
    cached, origin = Cached(), Origin(answer(body, headers=headers))
    for _ in range(2):
        response = await cached.ask(chatting(CHAT), origin)
        assert (response.body, response.headers) == (body, headers)
    # A coding that cannot be read hides whether the answer is complete.
    assert len(origin.asked) == (1 if coding == b"gzip" else 2)


@pytest.mark.parametrize(
    "pieces",
    [
        (FIRST, SECOND, USAGE),
        (FIRST,),
        (),
        (FIRST, b'data: {"error":{"message":"overloaded"}}\n\n', DONE),
        (FIRST, SECOND, USAGE, DONE[:-4]),
    ],
)
async def test_a_stream_without_the_providers_end_is_not_stored(pieces: tuple[bytes, ...]) -> None:
    cached = Cached()
    await consumed(await cached.ask(chatting(), streaming(*pieces)))
    await turns()
    assert cached.entries() == 0


async def test_a_truncated_stream_is_not_stored() -> None:
    cached = Cached()
    broken = UpstreamError("http_response_incomplete", "cut")
    response = await cached.ask(chatting(), streaming(*WHOLE, broken))
    with pytest.raises(UpstreamError):
        await consumed(response)
    assert cached.entries() == 0


@pytest.mark.parametrize("limit", [0, 1, 4])
async def test_an_abandoned_stream_is_not_stored(limit: int) -> None:
    cached = Cached()
    await consumed(await cached.ask(chatting(), streaming(*WHOLE)), limit=limit)
    await turns()
    assert cached.entries() == 0


@pytest.mark.parametrize("status", [201, 204, 206, 301, 400, 401, 429, 500, 503])
async def test_only_a_success_is_stored(status: int) -> None:
    cached = Cached()
    await consumed(await cached.ask(chatting(), streaming(*WHOLE, status=status)))
    await turns()
    assert cached.entries() == (1 if status == 201 else 0)


async def test_a_failure_is_not_stored() -> None:
    cached = Cached()
    with pytest.raises(UpstreamError):
        await cached.ask(chatting(), Origin(UpstreamError("connection_refused", "no")))
    assert cached.entries() == 0


async def test_an_answer_beyond_the_limit_is_passed_and_not_stored() -> None:
    long = b'data: {"choices":[{"delta":{"content":"' + b"x" * 900 + b'"}}]}\n\n'
    cached = Cached(settings(limits={"max_answer_bytes": 2048}))
    body = await consumed(await cached.ask(chatting(), streaming(long, long, long, *WHOLE)))
    assert body == long * 3 + b"".join(WHOLE)
    assert cached.entries() == 0


async def test_cookies_are_not_stored_and_still_reach_the_first_client() -> None:
    cached = Cached()
    headers = [*FIELDS, (b"set-cookie", b"s=1"), (b"set-cookie", b"t=2")]
    response = await cached.ask(chatting(), streaming(*WHOLE, headers=headers))
    assert response.headers == headers
    await consumed(response)
    assert (await cached.ask(chatting(), streaming())).headers == FIELDS


async def test_what_stages_above_add_to_the_answer_is_not_stored() -> None:
    cached = Cached()
    response = await cached.ask(chatting(), streaming(*WHOLE))
    response.headers += [(b"x-skinflint-cache", b"miss")]
    await consumed(response)
    assert (await cached.ask(chatting(), streaming())).headers == FIELDS


async def test_after_its_time_an_entry_is_fetched_again() -> None:
    cached, origin = Cached(), streaming(*WHOLE)
    await consumed(await cached.ask(chatting(), origin))
    cached.clock.now += 61
    again = chatting()
    await consumed(await cached.ask(again, origin))
    assert again.outcome is Outcome.MISS
    assert again.cache_status == "fwd=stale"
    assert len(origin.asked) == 2
    assert (await cached.ask(chatting(), origin)).body == b"".join(WHOLE)


async def test_a_shorter_time_of_todays_settings_counts_for_old_entries() -> None:
    cached, origin = Cached(), streaming(*WHOLE)
    await consumed(await cached.ask(chatting(), origin))
    cached.clock.now += 10
    hit, miss = chatting(ttl_s=15.0), chatting(ttl_s=5.0)
    await cached.ask(hit, origin)
    assert hit.cache_status == "hit; ttl=5"
    await consumed(await cached.ask(miss, origin))
    assert miss.outcome is Outcome.MISS


@pytest.mark.parametrize(
    ("value", "age", "outcome"),
    [
        (b"max-age=10", 10, Outcome.HIT),
        (b"max-age=10", 11, Outcome.MISS),
        (b"min-fresh=50", 10, Outcome.HIT),
        (b"min-fresh=50", 11, Outcome.MISS),
        (b"max-stale=10", 70, Outcome.HIT),
        (b"max-stale=10", 71, Outcome.MISS),
        (b"no-cache", 0, Outcome.MISS),
        (b"no-store", 0, Outcome.BYPASS),
        (b"only-if-cached", 0, Outcome.HIT),
    ],
)
async def test_the_clients_wish_is_obeyed(value: bytes, age: int, outcome: Outcome) -> None:
    cached = Cached()
    await filled(cached)
    cached.clock.now += age
    called = with_control(value)
    await consumed(await cached.ask(called, streaming(*WHOLE)))
    assert called.outcome is outcome


async def test_no_cache_fetches_anew_and_keeps_the_new_answer() -> None:
    cached = Cached()
    await filled(cached)
    called = with_control(b"no-cache")
    await consumed(await cached.ask(called, streaming(FIRST, DONE)))
    assert called.cache_status == "fwd=request"
    assert (await cached.ask(chatting(), streaming())).body == FIRST + DONE


async def test_no_store_leaves_nothing_behind() -> None:
    cached = Cached()
    await consumed(await cached.ask(with_control(b"no-store"), streaming(*WHOLE)))
    await turns()
    assert cached.entries() == 0


@pytest.mark.parametrize(
    ("value", "age", "more"),
    [
        (b"only-if-cached", None, {}),
        (b"only-if-cached", 61, {}),
        (b"only-if-cached, max-age=1", 5, {}),
        (b"only-if-cached, no-cache", 0, {}),
        (b"only-if-cached, no-store", 0, {}),
        (b"only-if-cached", 0, {"fingerprint": None}),
        (b"only-if-cached", 0, {"answers_again": False}),
    ],
)
async def test_only_if_cached_never_goes_upstream(value: bytes, age: int | None, more: dict[str, object]) -> None:
    cached, origin = Cached(), streaming(*WHOLE)
    if age is not None:
        await filled(cached)
        cached.clock.now += age
    called = with_control(value)
    for name, wanted in more.items():
        setattr(called, name, wanted)
    with pytest.raises(Refusal) as raised:
        await cached.ask(called, origin)
    assert (raised.value.status, raised.value.code) == (504, "only_if_cached")
    assert not origin.asked


async def test_a_cache_that_is_off_takes_no_part() -> None:
    cached = Cached(settings(cache={"enabled": False}))
    for called in (chatting(), with_control(b"only-if-cached")):
        origin = streaming(*WHOLE)
        await consumed(await cached.ask(called, origin))
        assert called.outcome is Outcome.BYPASS
        assert len(origin.asked) == 1
    assert cached.entries() == 0


async def test_a_call_without_a_fingerprint_bypasses_it() -> None:
    cached = Cached()
    called = chatting(fingerprint=None)
    await consumed(await cached.ask(called, streaming(*WHOLE)))
    assert called.outcome is Outcome.BYPASS
    assert cached.entries() == 0


async def test_different_fingerprints_never_meet() -> None:
    cached = Cached()
    await filled(cached)
    other = chatting(fingerprint=b"g" * 32)
    await consumed(await cached.ask(other, streaming(*WHOLE)))
    assert other.outcome is Outcome.MISS


async def test_a_store_that_fails_fails_no_call() -> None:
    cached, failed = Cached(store=BrokenStore()), []

    def note(stage: str, called: Exchange, failure: Exception) -> None:
        failed.append(stage)

    handler = compose([cached.stage], streaming(*WHOLE), note)
    response = await handler(chatting())
    assert await consumed(response) == b"".join(WHOLE)
    assert failed == ["cache"]


async def test_a_store_that_cannot_write_fails_no_call() -> None:
    class ReadOnly(BrokenStore):
        async def get(self, key: bytes) -> None:
            return None

    cached = Cached(store=ReadOnly())
    assert await consumed(await cached.ask(chatting(), streaming(*WHOLE))) == b"".join(WHOLE)


def sampled(fingerprint: bytes = b"f" * 32) -> Exchange:
    return chatting(answers_again=False, collapses=False, would_answer_again=True, fingerprint=fingerprint)


async def ask_sampled(cached: Cached, *pieces: bytes) -> Exchange:
    called = sampled()
    await consumed(await cached.ask(called, streaming(*pieces)))
    called.finish(1.0)
    return called


async def test_what_would_have_been_saved_is_remembered() -> None:
    cached = Cached()
    assert not (await ask_sampled(cached, *WHOLE)).seen_before
    assert cached.entries() == 0
    cached.clock.now += 60
    seen = await ask_sampled(cached, *WHOLE)
    assert seen.seen_before
    assert seen.outcome is Outcome.BYPASS
    cached.clock.now += 1
    assert not (await ask_sampled(cached, *WHOLE)).seen_before  # a cache would have forgotten the first by now


async def test_an_answer_that_was_not_complete_would_have_saved_nothing() -> None:
    cached = Cached()
    await ask_sampled(cached, FIRST)
    assert not (await ask_sampled(cached, *WHOLE)).seen_before


async def test_a_call_that_failed_would_have_saved_nothing() -> None:
    cached, called = Cached(), sampled()
    with pytest.raises(Refusal):
        await cached.stage.handle(called, Origin(Refusal("budget", "no", status=429)))
    called.finish(1.0)
    assert not (await ask_sampled(cached, *WHOLE)).seen_before


async def test_what_could_not_be_answered_again_anyway_is_not_remembered() -> None:
    cached = Cached()
    for _ in range(2):
        called = chatting(answers_again=False)
        await consumed(await cached.ask(called, streaming(*WHOLE)))
        called.finish(1.0)
        assert not called.seen_before


async def test_the_memory_of_seen_calls_is_bounded() -> None:
    cached = Cached(seen_limit=2)
    for number in (1, 2, 3):
        called = sampled(fingerprint=bytes([number]) * 32)
        await consumed(await cached.ask(called, streaming(*WHOLE)))
        called.finish(1.0)
    seen = []
    for number in (1, 3):
        called = sampled(fingerprint=bytes([number]) * 32)
        await cached.ask(called, Origin(Response(200, [], b"")))
        seen.append(called.seen_before)
    assert seen == [False, True]
