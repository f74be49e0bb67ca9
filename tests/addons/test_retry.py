"""Which failed calls are made again, how often, and what that costs the budget."""

import pytest

from addons.retry import Retry, is_safe
from proxy.exchange.errors import Refusal, UpstreamError
from proxy.exchange.model import Exchange, UpstreamCall
from proxy.exchange.provider import UNKNOWN, CallFacts, Operation
from proxy.upstream.retry_budget import RetryBudget
from tests.support.exchanges import Origin, Pieces, answer, exchange, request, settings

REPEATABLE = Operation("chat", answers=True, repeatable=True)
BROKEN = UpstreamError("connection_terminated", "closed")
REFUSED = UpstreamError("connection_refused", "no", sent=False)


class Sleeps:
    """Notes how long it was asked to sleep."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def retrying(sleeps: Sleeps | None = None, **upstream: object) -> Retry:
    return Retry(settings(upstream={"retries": 2, "retry_budget": 1.0, **upstream}), sleeps or Sleeps())


def chat(**more: object) -> Exchange:
    return exchange(None, **{"operation": REPEATABLE, "call": UpstreamCall(started_at=1.0), **more})


async def test_a_call_that_succeeds_is_made_once() -> None:
    origin, called = Origin(answer()), chat()
    await retrying().handle(called, origin)
    assert len(origin.asked) == 1
    assert called.call is not None
    assert called.call.attempts == 1


async def test_the_first_retry_goes_at_once_and_the_next_waits() -> None:
    sleeps, called = Sleeps(), chat()
    origin = Origin(BROKEN, BROKEN, answer())
    response = await retrying(sleeps).handle(called, origin)
    assert response.status == 200
    assert len(origin.asked) == 3
    assert called.call is not None
    assert called.call.attempts == 3
    assert len(sleeps.seconds) == 1
    assert 0.05 <= sleeps.seconds[0] <= 0.15


async def test_after_the_last_retry_the_failure_is_the_answer() -> None:
    origin = Origin(BROKEN)
    with pytest.raises(UpstreamError):
        await retrying().handle(chat(), origin)
    assert len(origin.asked) == 3


async def test_without_retries_there_is_one_attempt() -> None:
    origin = Origin(BROKEN)
    with pytest.raises(UpstreamError):
        await retrying(retries=0).handle(exchange(operation=REPEATABLE), origin)
    assert len(origin.asked) == 1


async def test_other_failures_are_not_its_business() -> None:
    for failure in (Refusal("budget", "no", status=429), ValueError()):
        origin = Origin(failure)
        with pytest.raises(type(failure)):
            await retrying().handle(chat(), origin)
        assert len(origin.asked) == 1


async def test_a_status_is_the_clients_business() -> None:
    origin = Origin(answer(b"{}", 503), answer())
    assert (await retrying().handle(chat(), origin)).status == 503
    assert len(origin.asked) == 1


@pytest.mark.parametrize(
    ("method", "operation", "facts", "failure", "safe"),
    [
        ("POST", REPEATABLE, CallFacts(), BROKEN, True),
        ("POST", UNKNOWN, CallFacts(), BROKEN, False),
        ("POST", REPEATABLE, CallFacts(stateful=True), BROKEN, False),
        ("GET", UNKNOWN, CallFacts(), BROKEN, True),
        ("DELETE", UNKNOWN, CallFacts(), BROKEN, True),
        ("POST", UNKNOWN, CallFacts(), REFUSED, True),
        ("PATCH", UNKNOWN, CallFacts(stateful=True), REFUSED, True),
        ("POST", UNKNOWN, CallFacts(), UpstreamError("connection_failed", "", sent=False), True),
        ("POST", UNKNOWN, CallFacts(), UpstreamError("tls_protocol_error", "", sent=False), True),
        ("GET", UNKNOWN, CallFacts(), UpstreamError("tls_certificate_error", "", sent=False), False),
        ("GET", UNKNOWN, CallFacts(), UpstreamError("dns_error", "", sent=False), False),
        ("GET", UNKNOWN, CallFacts(), UpstreamError("connection_timeout", "", sent=False), False),
        ("GET", UNKNOWN, CallFacts(), UpstreamError("http_response_timeout", ""), False),
        ("GET", UNKNOWN, CallFacts(), UpstreamError("http_response_incomplete", ""), False),
    ],
)
def test_what_may_be_made_again(
    method: str, operation: Operation, facts: CallFacts, failure: UpstreamError, safe: bool
) -> None:
    assert is_safe(exchange(request(method=method), operation=operation, facts=facts), failure) is safe


def test_a_streamed_body_cannot_be_sent_twice() -> None:
    assert not is_safe(exchange(request(Pieces(b"x"))), REFUSED)


async def test_the_budget_ends_the_retries_of_a_failing_origin() -> None:
    stage = retrying(retries=1, retry_budget=0.1)
    attempts = 0
    for _ in range(100):
        origin = Origin(BROKEN)
        with pytest.raises(UpstreamError):
            await stage.handle(chat(), origin)
        attempts += len(origin.asked)
    assert 103 <= attempts <= 115


def test_a_quiet_sidecar_has_a_few_retries_for_free() -> None:
    budget = RetryBudget(0.2)
    assert [budget.try_spend(0.0) for _ in range(4)] == [True, True, True, False]


def test_the_budget_grows_with_calls_and_comes_back_with_time() -> None:
    budget = RetryBudget(0.5)
    for _ in range(4):
        budget.note_call(0.0)
    assert [budget.try_spend(0.0) for _ in range(6)] == [True] * 5 + [False]
    assert budget.try_spend(20.0)


def test_a_share_of_nothing_allows_nothing() -> None:
    budget = RetryBudget(0.0)
    budget.note_call(0.0)
    assert not budget.try_spend(0.0)
