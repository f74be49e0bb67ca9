"""What a stage may do wrong, and what becomes of the exchange then."""

import asyncio

import pytest

from proxy.exchange.chain import Handler, compose
from proxy.exchange.errors import ExchangeError, Refusal, UpstreamError
from proxy.exchange.model import Exchange, Response
from tests.support.exchanges import Origin, answer, exchange


class Stage:
    """Passes on; subclasses misbehave."""

    name = "bad"

    async def handle(self, called: Exchange, call_next: Handler) -> Response:
        return await call_next(called)


class RaisesBefore(Stage):
    async def handle(self, called: Exchange, call_next: Handler) -> Response:
        raise ValueError("before")


class RaisesAfter(Stage):
    async def handle(self, called: Exchange, call_next: Handler) -> Response:
        await call_next(called)
        raise ValueError("after")


class HidesFailure(Stage):
    async def handle(self, called: Exchange, call_next: Handler) -> Response:
        try:
            return await call_next(called)
        except UpstreamError:
            raise KeyError("while handling the failure of the rest") from None


class CallsTwice(Stage):
    async def handle(self, called: Exchange, call_next: Handler) -> Response:
        try:
            return await call_next(called)
        except UpstreamError:
            await call_next(called)
            raise ValueError("after the second") from None


class Answers(Stage):
    async def handle(self, called: Exchange, call_next: Handler) -> Response:
        return answer(b"local")


class Failures:
    """Who failed, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __call__(self, stage: str, failed: Exchange, failure: Exception) -> None:
        self.seen.append((stage, type(failure).__name__))


async def run(*stages: Stage, end: Handler) -> tuple[Response, list[tuple[str, str]]]:
    failures = Failures()
    response = await compose(stages, end, failures)(exchange())
    return response, failures.seen


async def test_stages_run_in_their_order() -> None:
    order: list[str] = []

    class Noted(Stage):
        def __init__(self, name: str) -> None:
            self.name = name

        async def handle(self, called: Exchange, call_next: Handler) -> Response:
            order.append(f"{self.name} in")
            response = await call_next(called)
            order.append(f"{self.name} out")
            return response

    await run(Noted("a"), Noted("b"), end=Origin(answer()))
    assert order == ["a in", "b in", "b out", "a out"]


async def test_without_stages_the_end_answers() -> None:
    response, failures = await run(end=Origin(answer(b"end")))
    assert (response.body, failures) == (b"end", [])


async def test_a_stage_may_answer_itself() -> None:
    origin = Origin(answer())
    response, _ = await run(Answers(), end=origin)
    assert response.body == b"local"
    assert not origin.asked


async def test_a_stage_that_fails_before_the_rest_is_stepped_over() -> None:
    origin = Origin(answer())
    response, failures = await run(RaisesBefore(), end=origin)
    assert response.status == 200
    assert failures == [("bad", "ValueError")]
    assert len(origin.asked) == 1


async def test_a_stage_that_fails_after_the_rest_gives_the_answer_it_had() -> None:
    origin = Origin(answer(b"kept"))
    response, failures = await run(RaisesAfter(), end=origin)
    assert response.body == b"kept"
    assert failures == [("bad", "ValueError")]
    assert len(origin.asked) == 1


async def test_a_stage_that_fails_on_the_failure_of_the_rest_leaves_that_failure() -> None:
    origin = Origin(UpstreamError("connection_refused", "no", sent=False))
    failures = Failures()
    with pytest.raises(UpstreamError) as raised:
        await compose([HidesFailure()], origin, failures)(exchange())
    assert raised.value.code == "connection_refused"
    assert failures.seen == [("bad", "KeyError")]
    assert len(origin.asked) == 1


async def test_a_stage_that_calls_twice_keeps_the_later_answer() -> None:
    origin = Origin(UpstreamError("connection_terminated", "once"), answer(b"second"))
    response, failures = await run(CallsTwice(), end=origin)
    assert response.body == b"second"
    assert failures == [("bad", "ValueError")]
    assert len(origin.asked) == 2


@pytest.mark.parametrize(
    "failure",
    [Refusal("budget", "no money", status=429), UpstreamError("dns_error", "no"), ExchangeError("x", "y", status=500)],
)
async def test_the_ways_of_saying_no_pass(failure: ExchangeError) -> None:
    class Refuses(Stage):
        async def handle(self, called: Exchange, call_next: Handler) -> Response:
            raise failure

    origin, failures = Origin(answer()), Failures()
    with pytest.raises(ExchangeError) as raised:
        await compose([Stage(), Refuses()], origin, failures)(exchange())
    assert raised.value is failure
    assert not failures.seen
    assert not origin.asked


async def test_a_failure_of_the_end_is_nobody_elses_and_is_not_repeated() -> None:
    calls = 0

    async def broken(called: Exchange) -> Response:
        nonlocal calls
        calls += 1
        raise RuntimeError("a bug in the pool")

    failures = Failures()
    with pytest.raises(RuntimeError, match="a bug in the pool"):
        await compose([Stage(), Stage(), Stage()], broken, failures)(exchange())
    assert calls == 1
    assert not failures.seen


async def test_every_stage_may_fail_and_the_call_still_goes_through() -> None:
    response, failures = await run(RaisesBefore(), RaisesAfter(), RaisesBefore(), end=Origin(answer(b"there")))
    assert response.body == b"there"
    assert len(failures) == 3


async def test_cancelling_passes_through_every_guard() -> None:
    async def waits(called: Exchange) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    failures = Failures()
    task = asyncio.ensure_future(compose([Stage(), RaisesAfter()], waits, failures)(exchange()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not failures.seen


class AsksForAnother(Stage):
    """Makes a call of its own, and then misbehaves."""

    async def handle(self, called: Exchange, call_next: Handler) -> Response:
        await call_next(exchange())
        raise ValueError("after another's answer")


async def test_what_a_stage_asked_for_another_exchange_is_no_answer_to_this_one() -> None:
    origin = Origin(answer(b"another's"), answer(b"its own"))
    response, failures = await run(AsksForAnother(), end=origin)
    assert response.body == b"its own"
    assert failures == [("bad", "ValueError")]
