"""What a stage may do wrong, and what becomes of the exchange then."""

import asyncio

import pytest

from proxy.exchange.chain import Handler, Step, compose
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


class Quick(Step):
    """A step that notes what it does; subclasses misbehave."""

    name = "quick"

    def __init__(self, order: list[str] | None = None, name: str = "quick") -> None:
        self.order = [] if order is None else order
        self.name = name

    def before(self, called: Exchange) -> None:
        self.order.append(f"{self.name} in")

    def after(self, called: Exchange, response: Response) -> Response:
        self.order.append(f"{self.name} out")
        return response


class FailsBefore(Quick):
    def before(self, called: Exchange) -> None:
        raise ValueError("before")


class FailsAfter(Quick):
    def after(self, called: Exchange, response: Response) -> Response:
        raise ValueError("after")


class Idle(Step):
    """Does nothing on either way."""


async def test_steps_run_in_their_order_with_stages_among_them() -> None:
    order: list[str] = []
    stages = [Quick(order, "a"), Quick(order, "b"), Idle(), Stage(), Quick(order, "c")]
    await compose(stages, Origin(answer()), Failures())(exchange())
    assert order == ["a in", "b in", "c in", "c out", "b out", "a out"]


async def test_a_step_alone_does_the_same_as_in_a_row() -> None:
    order: list[str] = []
    response = await Quick(order, "a").handle(exchange(), Origin(answer(b"there")))
    assert (response.body, order) == (b"there", ["a in", "a out"])


@pytest.mark.parametrize("bad", [FailsBefore, FailsAfter])
async def test_a_step_that_fails_is_stepped_over(bad: type[Quick]) -> None:
    order: list[str] = []
    origin, failures = Origin(answer(b"kept")), Failures()
    response = await compose([Quick(order, "a"), bad(), Quick(order, "b")], origin, failures)(exchange())
    assert response.body == b"kept"
    assert order == ["a in", "b in", "b out", "a out"]
    assert failures.seen == [("quick", "ValueError")]
    assert len(origin.asked) == 1


async def test_a_step_may_say_no_on_both_ways() -> None:
    failure = Refusal("budget", "no money", status=429)

    class RefusesBefore(Quick):
        def before(self, called: Exchange) -> None:
            raise failure

    class RefusesAfter(Quick):
        def after(self, called: Exchange, response: Response) -> Response:
            raise failure

    for step, calls in ((RefusesBefore(), 0), (RefusesAfter(), 1)):
        origin, failures = Origin(answer()), Failures()
        with pytest.raises(Refusal) as raised:
            await compose([step], origin, failures)(exchange())
        assert raised.value is failure
        assert not failures.seen
        assert len(origin.asked) == calls


class Particular(Answers):
    """Answers the calls that concern it."""

    name = "particular"

    def __init__(self, verdict: bool | Exception) -> None:
        self.verdict = verdict

    def concerns(self, called: Exchange) -> bool:
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


@pytest.mark.parametrize(("verdict", "body"), [(True, b"local"), (False, b"end"), (ValueError("which?"), b"end")])
async def test_a_choosy_stage_is_passed_by_where_it_is_not_concerned(verdict: bool | Exception, body: bytes) -> None:
    origin, failures = Origin(answer(b"end")), Failures()
    response = await compose([Stage(), Particular(verdict)], origin, failures)(exchange())
    assert response.body == body
    assert failures.seen == ([("particular", "ValueError")] if isinstance(verdict, Exception) else [])


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
