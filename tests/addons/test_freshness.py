"""Stale answers while they are renewed or instead of errors, renewal ahead of time, and several answers of one call."""

from dataclasses import replace

import pytest

from config.caching import OperationPolicy
from proxy.exchange.asked import Asked, Mode
from proxy.exchange.errors import Refusal, UpstreamError
from proxy.exchange.model import Exchange
from proxy.exchange.record import Outcome
from tests.addons.streams import DONE, FIRST, SECOND, USAGE, Cached, chatting, consumed
from tests.support.exchanges import CHAT, CHAT_ANSWER, SSE, Fed, Origin, Pieces, answer, turns

OTHER = CHAT_ANSWER.replace(b"Hello.", b"Howdy.")
FAILED = UpstreamError("connection_refused", "refused", sent=False)


def policy(**said: object) -> OperationPolicy:
    return OperationPolicy.model_validate(said)


def calling(*, asked: Asked | None = None, **said: object) -> Exchange:
    return chatting(CHAT, policy=policy(**said), asked=asked or Asked())


async def stored(cached: Cached, **said: object) -> None:
    assert await consumed(await cached.ask(calling(**said), Origin(answer()))) == CHAT_ANSWER
    assert cached.entries() == 1


async def body_of(cached: Cached, called: Exchange, origin: Origin) -> bytes:
    return await consumed(await cached.ask(called, origin))


# -- stale while revalidating


async def test_a_stale_answer_is_given_at_once_and_renewed_behind_it() -> None:
    cached, origin = Cached(), Origin(answer(OTHER))
    await stored(cached)
    cached.clock.now += 61
    called = calling(stale_while_revalidate_s=30)
    assert await body_of(cached, called, origin) == CHAT_ANSWER
    assert (called.outcome, called.cache_status, called.age_s) == (Outcome.HIT, "hit; ttl=-1", 61)
    await turns()
    assert len(origin.asked) == 1
    again = calling()
    assert await body_of(cached, again, origin) == OTHER
    assert again.cache_status == "hit; ttl=60"
    assert len(origin.asked) == 1


async def test_a_renewal_is_settled_as_a_call_of_its_own() -> None:
    cached, origin = Cached(), Origin(answer(OTHER))
    await stored(cached)
    cached.clock.now += 61
    called = calling(stale_while_revalidate_s=30)
    called.labels = {"app": "judge"}
    await body_of(cached, called, origin)
    await turns()
    (renewal,) = cached.renewed
    assert renewal.outcome is Outcome.REFRESH
    assert renewal.id != called.id
    assert len(renewal.id) == len(called.id)
    assert renewal.call is not None
    assert renewal.call.usage is not None
    assert (renewal.status, renewal.labels, renewal.finished_at) == (200, {"app": "judge"}, cached.clock.now)


@pytest.mark.parametrize(
    ("control", "later"),
    [(b"max-age=30", 61), (b"min-fresh=1", 61), (b"max-stale=0", 61), (b"", 91), (b"no-cache", 61)],
)
async def test_the_window_ends_and_the_client_may_narrow_it(control: bytes, later: float) -> None:
    cached, origin = Cached(), Origin(answer(OTHER))
    await stored(cached)
    cached.clock.now += later
    called = calling(stale_while_revalidate_s=30)
    if control:
        called.request.headers.append((b"cache-control", control))
    assert await body_of(cached, called, origin) == OTHER
    assert called.outcome is Outcome.MISS
    assert cached.renewed == []


async def test_one_renewal_at_a_time_for_an_answer_and_a_bounded_number_in_all() -> None:
    cached = Cached()
    origins = [Fed() for _ in range(3)]
    for number in range(3):
        called = calling()
        called.fingerprint = bytes([number]) * 32
        await body_of(cached, called, Origin(answer()))
    cached.clock.now += 61
    asked: list[Origin] = []
    for number in (0, 0, 1, 2):
        called = calling(stale_while_revalidate_s=30)
        called.fingerprint = bytes([number]) * 32
        asked.append(Origin(answer(origins[number], headers=SSE)))
        assert await body_of(cached, called, asked[-1]) == CHAT_ANSWER
        await turns()
    assert [len(origin.asked) for origin in asked] == [1, 0, 1, 0]
    for each in origins:
        each.end()
    await turns()


@pytest.mark.parametrize("origin", [Origin(FAILED), Origin(answer(b"{}", 500))])
async def test_a_renewal_that_failed_is_not_tried_again_at_once(origin: Origin) -> None:
    cached = Cached()
    await stored(cached)
    cached.clock.now += 61
    for _ in range(3):
        assert await body_of(cached, calling(stale_while_revalidate_s=30), origin) == CHAT_ANSWER
        await turns()
    assert len(origin.asked) == 1
    assert cached.entries() == 1
    cached.clock.now += 6
    await body_of(cached, calling(stale_while_revalidate_s=30), origin)
    await turns()
    assert len(origin.asked) == 2


async def test_a_stream_is_renewed_whole_though_nobody_reads_it() -> None:
    cached = Cached()
    pieces = (FIRST, SECOND, USAGE, DONE)
    await consumed(await cached.ask(chatting(policy=policy()), Origin(answer(Pieces(*pieces), headers=SSE))))
    cached.clock.now += 61
    renewed = (FIRST, FIRST, SECOND, USAGE, DONE)
    called = chatting(policy=policy(stale_while_revalidate_s=30))
    assert await consumed(await cached.ask(called, Origin(answer(Pieces(*renewed), headers=SSE)))) == b"".join(pieces)
    await turns(30)
    assert await consumed(await cached.ask(chatting(policy=policy()), Origin(FAILED))) == b"".join(renewed)


async def test_a_renewal_cut_off_keeps_the_old_answer() -> None:
    cached = Cached()
    await stored(cached)
    cached.clock.now += 61
    broken = Pieces(FIRST, UpstreamError("http_response_incomplete", "broken off"))
    await body_of(cached, calling(stale_while_revalidate_s=30), Origin(answer(broken, headers=SSE)))
    await turns()
    assert [renewal.error for renewal in cached.renewed] == ["http_response_incomplete"]
    assert await body_of(cached, calling(stale_while_revalidate_s=30), Origin(FAILED)) == CHAT_ANSWER


# -- renewal ahead of time


async def test_an_answer_that_is_asked_for_again_is_renewed_before_it_ends() -> None:
    cached, origin = Cached(), Origin(answer(OTHER))
    await stored(cached)
    said: dict[str, object] = {"refresh_ahead": 0.5}
    cached.clock.now += 10
    await body_of(cached, calling(**said), origin)
    cached.clock.now += 25
    called = calling(**said)
    assert await body_of(cached, called, origin) == CHAT_ANSWER
    assert called.cache_status == "hit; ttl=25"
    await turns()
    assert len(origin.asked) == 1
    assert await body_of(cached, calling(), origin) == OTHER


async def test_what_is_asked_for_once_is_not_renewed_ahead() -> None:
    cached, origin = Cached(), Origin(answer(OTHER))
    await stored(cached)
    cached.clock.now += 45
    await body_of(cached, calling(refresh_ahead=0.5), origin)
    await turns()
    assert origin.asked == []


async def test_an_answer_that_was_renewed_begins_anew() -> None:
    cached, origin = Cached(), Origin(answer(OTHER))
    await stored(cached)
    for renewed in (1, 2):
        for later in (10, 25):  # the first time it is only noted
            cached.clock.now += later
            await body_of(cached, calling(refresh_ahead=0.5), origin)
            await turns()
        assert len(origin.asked) == renewed


# -- stale instead of errors


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_stale_answer_takes_the_place_of_an_error(status: int) -> None:
    cached = Cached()
    await stored(cached)
    cached.clock.now += 100
    called = calling(stale_if_error_s=60)
    failing = Pieces(b'{"error":{}}')
    assert await body_of(cached, called, Origin(answer(failing, status))) == CHAT_ANSWER
    assert called.outcome is Outcome.HIT
    assert called.cache_status == f"hit; ttl=-40; fwd=stale; fwd-status={status}; detail=stale-if-error"
    assert called.stored_cost_nanousd == 11_000
    assert failing.closed == 1
    assert called.call is not None
    assert called.call.ended


async def test_a_stale_answer_takes_the_place_of_an_origin_that_is_gone() -> None:
    cached = Cached()
    await stored(cached)
    cached.clock.now += 100
    called = calling(stale_if_error_s=60)
    assert await body_of(cached, called, Origin(FAILED)) == CHAT_ANSWER
    assert "fwd-status=502" in called.cache_status


@pytest.mark.parametrize(
    ("said", "control", "later"),
    [
        ({}, b"", 100),
        ({"stale_if_error_s": 60}, b"", 121),
        ({"stale_if_error_s": 60}, b"stale-if-error=10", 100),
        ({"stale_if_error_s": 60}, b"no-cache", 100),
        ({"stale_if_error_s": 60}, b"min-fresh=1", 100),
    ],
)
async def test_otherwise_the_error_is_the_answer(said: dict[str, object], control: bytes, later: float) -> None:
    cached = Cached()
    await stored(cached)
    cached.clock.now += later
    called = calling(**said)
    if control:
        called.request.headers.append((b"cache-control", control))
    with pytest.raises(UpstreamError):
        await cached.ask(called, Origin(FAILED))


async def test_the_client_may_ask_for_it_where_the_policy_does_not() -> None:
    cached = Cached()
    await stored(cached)
    cached.clock.now += 100
    called = calling()
    called.request.headers.append((b"cache-control", b"stale-if-error=60"))
    assert await body_of(cached, called, Origin(FAILED)) == CHAT_ANSWER


@pytest.mark.parametrize("status", [400, 401, 404, 422])
async def test_what_the_caller_did_wrong_is_his_answer(status: int) -> None:
    cached = Cached()
    await stored(cached)
    cached.clock.now += 100
    response = await cached.ask(calling(stale_if_error_s=60), Origin(answer(b"{}", status)))
    assert response.status == status


async def test_a_good_answer_is_taken_though_a_stale_one_would_do() -> None:
    cached = Cached()
    await stored(cached)
    cached.clock.now += 100
    assert await body_of(cached, calling(stale_if_error_s=60), Origin(answer(OTHER))) == OTHER
    await turns()
    assert await body_of(cached, calling(), Origin(FAILED)) == OTHER


# -- what callers ask


async def test_off_neither_reads_nor_writes() -> None:
    cached, origin = Cached(), Origin(answer(OTHER))
    await stored(cached)
    assert await body_of(cached, calling(asked=Asked(mode=Mode.OFF)), origin) == OTHER
    assert await body_of(cached, calling(), origin) == CHAT_ANSWER


async def test_read_answers_and_stores_nothing() -> None:
    cached, origin = Cached(), Origin(answer())
    for _ in range(2):
        await body_of(cached, calling(asked=Asked(mode=Mode.READ)), origin)
    assert cached.entries() == 0
    assert len(origin.asked) == 2
    await body_of(cached, calling(), origin)
    await body_of(cached, calling(asked=Asked(mode=Mode.READ)), origin)
    assert len(origin.asked) == 3


@pytest.mark.parametrize("mode", [Mode.WRITE, Mode.REFRESH])
async def test_write_and_refresh_replace_what_is_stored(mode: Mode) -> None:
    cached, origin = Cached(), Origin(answer(OTHER))
    await stored(cached)
    called = calling(asked=Asked(mode=mode))
    assert await body_of(cached, called, origin) == OTHER
    assert called.cache_status == "fwd=request"
    assert await body_of(cached, calling(), origin) == OTHER
    assert len(origin.asked) == 1


async def test_tags_and_namespace_stand_in_the_entry() -> None:
    cached = Cached()
    called = calling(asked=Asked(tags=("a", "b")), sensitive=True)
    called.namespace = "team-a"
    await body_of(cached, called, Origin(answer()))
    entry = await cached.store.get(b"f" * 32)
    assert entry is not None
    assert (entry.tags, entry.namespace, entry.sensitive) == (("a", "b"), "team-a", True)


async def test_an_answer_larger_than_the_policy_allows_is_not_kept() -> None:
    cached = Cached()
    await body_of(cached, calling(max_bytes=len(CHAT_ANSWER) - 1), Origin(answer()))
    assert cached.entries() == 0
    await body_of(cached, calling(max_bytes=len(CHAT_ANSWER)), Origin(answer()))
    assert cached.entries() == 1


async def test_only_if_cached_takes_a_stale_answer_that_is_renewed_but_waits_for_nobody() -> None:
    cached = Cached()
    await stored(cached)
    cached.clock.now += 200
    called = calling(stale_while_revalidate_s=30)
    called.request.headers.append((b"cache-control", b"only-if-cached"))
    with pytest.raises(Refusal):
        await cached.ask(called, Origin(answer()))


# -- several answers of one call


async def test_up_to_so_many_answers_are_kept_of_a_sampled_call() -> None:
    cached = Cached()
    answers = [CHAT_ANSWER.replace(b"Hello", b"%d" % number) for number in range(3)]
    origin = Origin(*[answer(each) for each in answers], FAILED)

    def sampled() -> Exchange:
        body = CHAT.replace(b',"temperature":0', b"")
        called = chatting(body, policy=policy(buckets=3))
        called.json = {}
        provider = called.provider
        assert provider is not None
        called.facts = provider.describe(called.operation, called.request.path, "", {"model": "gpt-4o-mini"})
        return called

    for cached.chosen in range(3):
        assert await body_of(cached, sampled(), origin) == answers[cached.chosen]
    for cached.chosen in (2, 0, 1):
        called = sampled()
        assert await body_of(cached, called, origin) == answers[cached.chosen]
        assert called.outcome is Outcome.HIT
        assert called.replayed is None, "the short way would always give the same one"
    called = sampled()
    called.asked = Asked(seed="17")
    first = await body_of(cached, called, origin)
    cached.chosen = 1
    again = sampled()
    again.asked = Asked(seed="17")
    assert await body_of(cached, again, origin) == first


async def test_a_call_that_does_not_vary_has_one_answer() -> None:
    cached, origin = Cached(), Origin(answer())
    for cached.chosen in range(3):
        called = calling(buckets=3)
        called.facts = replace(called.facts, deterministic=True)
        await body_of(cached, called, origin)
    assert len(origin.asked) == 1
