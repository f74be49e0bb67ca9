"""What an exchange costs, from what it knows of its provider, model and usage."""

from datetime import datetime

import pytest

from config.prices import PriceOverrides
from proxy.exchange.model import Exchange, UpstreamCall
from proxy.exchange.provider import CallFacts, Operation
from proxy.exchange.usage import Usage
from proxy.ledger.prices import Price, PriceBook
from proxy.ledger.pricing import ExchangePricing
from proxy.providers.readers import OpaqueReader
from tests.support.exchanges import REGISTRY, exchange

CHAT = Operation("chat", answers=True, sampled=True)
USED = Usage(input_tokens=1000, output_tokens=1000)


@pytest.fixture(scope="module")
def pricing() -> ExchangePricing:
    return ExchangePricing(PriceBook(PriceOverrides({}, "none")))


def called(
    model: str = "gpt-4o-mini", operation: Operation = CHAT, status: int = 200, provider: str = "openai"
) -> Exchange:
    call = UpstreamCall(started_at=1.0, status=status, reader=OpaqueReader())
    return exchange(
        None, provider=REGISTRY.by_name(provider), operation=operation, facts=CallFacts(model=model), call=call
    )


def test_known_tokens_of_a_known_model_have_a_price(pricing: ExchangePricing) -> None:
    cost = pricing.cost(called(), USED)
    assert cost is not None
    assert cost > 0
    assert pricing.version


def test_the_model_that_answered_counts_and_else_the_one_that_was_asked_for(pricing: ExchangePricing) -> None:
    asked = pricing.cost(called("gpt-4o"), USED)
    answered = pricing.cost(called("gpt-4o"), Usage(input_tokens=1000, output_tokens=1000, model="gpt-4o-mini"))
    unheard = pricing.cost(called("gpt-4o"), Usage(input_tokens=1000, output_tokens=1000, model="no-such-model-name"))
    assert asked is not None
    assert answered is not None
    assert answered < asked
    assert unheard == asked


def test_an_unknown_model_is_unpriced_and_never_free(pricing: ExchangePricing) -> None:
    assert pricing.cost(called("no-such-model-name"), USED) is None
    assert pricing.cost(called(""), USED) is None


def test_what_is_no_provider_costs_nothing(pricing: ExchangePricing) -> None:
    assert pricing.cost(exchange(), None) == 0


@pytest.mark.parametrize("name", ["chat", "embeddings", "images", "speech", "rerank"])
def test_an_answer_that_should_report_and_does_not_is_unpriced(pricing: ExchangePricing, name: str) -> None:
    assert pricing.cost(called(operation=Operation(name, answers=True)), None) is None


@pytest.mark.parametrize("name", ["models", "moderations", "count_tokens"])
def test_what_is_free_costs_nothing(pricing: ExchangePricing, name: str) -> None:
    assert pricing.cost(called(operation=Operation(name, answers=True)), None) == 0


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_a_failed_call_costs_nothing(pricing: ExchangePricing, status: int) -> None:
    assert pricing.cost(called(status=status), None) == 0


def test_a_call_that_was_never_made_or_has_no_reader_costs_nothing(pricing: ExchangePricing) -> None:
    unmade, unread = called(), called()
    unmade.call = None
    assert unread.call is not None
    unread.call.reader = None
    assert (pricing.cost(unmade, None), pricing.cost(unread, None)) == (0, 0)


class CountingBook(PriceBook):
    """Counts how often a price is looked up."""

    asked = 0

    def price(
        self, provider_price_id: str, model: str, usage: Usage | None, *, operation: str, at: datetime | None = None
    ) -> Price | None:
        self.asked += 1
        return super().price(provider_price_id, model, usage, operation=operation, at=at)


def test_a_call_is_priced_once_however_often_it_is_asked_for() -> None:
    book = CountingBook(PriceOverrides({}, "none"))
    pricing, first, second = ExchangePricing(book), called(), called("gpt-4o")
    costs = [pricing.cost(each, USED) for each in (first, first, first, second, second, first)]
    assert book.asked == 3
    assert costs[0] == costs[1] == costs[2] == costs[5]
    assert costs[3] == costs[4] != costs[0]
