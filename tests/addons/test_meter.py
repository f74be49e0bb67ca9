"""When a call is settled, what its row says, and what the client is told."""

import pytest

from addons.meter import Meter
from proxy.exchange.chain import compose
from proxy.exchange.errors import Refusal, UpstreamError
from proxy.exchange.headers import first
from proxy.exchange.model import Exchange, Pieced, Response, UpstreamCall
from proxy.exchange.provider import CallFacts
from proxy.exchange.record import CallRecord, Outcome
from proxy.exchange.usage import Usage
from tests.addons.streams import CHATTING
from tests.support.exchanges import CHAT, JSON, REGISTRY, Origin, Pieces, answer, exchange, request

USED = Usage(
    input_tokens=9, output_tokens=2, cache_read_tokens=3, input_audio_tokens=1, output_audio_tokens=1, model="m-1"
)


class Prices:
    """What a call costs is what the test says."""

    version = "v1"

    def __init__(self, cost: int | None = 11_000) -> None:
        self._cost = cost

    def cost(self, called: Exchange, usage: Usage | None) -> int | None:
        return self._cost


class BrokenPrices(Prices):
    def cost(self, called: Exchange, usage: Usage | None) -> int | None:
        raise LookupError


class Metered:
    """The stage with its prices and its rows."""

    def __init__(self, prices: Prices | None = None, *, headers: bool = True) -> None:
        self.rows: list[CallRecord] = []
        self.stage = Meter(prices or Prices(), self.rows.append, response_headers=headers)

    async def ask(self, called: Exchange, origin: Origin | None = None) -> Response:
        return await self.stage.handle(called, origin or Origin(answer()))

    @property
    def row(self) -> CallRecord:
        assert len(self.rows) == 1
        return self.rows[0]


def called(outcome: Outcome = Outcome.MISS, **more: object) -> Exchange:
    return exchange(
        None,
        provider=REGISTRY.by_name("openai"),
        operation=CHATTING,
        facts=CallFacts(model="asked-for", stream=True),
        outcome=outcome,
        call=UpstreamCall(started_at=100.010, status=200, first_byte_at=100.510, usage=USED),
        status=200,
        credential="0123456789abcdef" * 2,
        labels={"app": "a"},
        first_byte_at=100.512,
        response_bytes=77,
        **more,
    )


async def test_the_row_says_what_is_known() -> None:
    metered, asked = Metered(), called()
    assert asked.call is not None
    asked.call.end(101.0)
    await metered.ask(asked)
    asked.finish(101.1)
    row = metered.row
    assert (row.id, row.client, row.provider, row.operation, row.model) == (
        asked.id,
        "127.0.0.1",
        "openai",
        "chat",
        "m-1",
    )
    assert (row.status, row.outcome, row.streamed) == (200, Outcome.MISS, True)
    assert (row.input_tokens, row.output_tokens, row.cache_read_tokens, row.audio_tokens) == (9, 2, 3, 2)
    assert (row.cost_nanousd, row.saved_nanousd, row.potential_nanousd) == (11_000, 0, 0)
    assert row.first_byte_ms == pytest.approx(512)
    assert row.total_ms == pytest.approx(1100)
    assert row.overhead_ms == pytest.approx(12)
    assert (row.request_bytes, row.response_bytes) == (len(CHAT), 77)
    assert row.credential == "0123456789ab"
    assert (row.price_version, row.labels, row.error) == ("v1", {"app": "a"}, "")


@pytest.mark.parametrize("first_to_end", ["client", "upstream"])
async def test_a_call_is_settled_once_both_sides_have_ended(first_to_end: str) -> None:
    metered, asked = Metered(), called()
    assert asked.call is not None
    await metered.ask(asked)
    if first_to_end == "client":
        asked.finish(101.0)
        assert not metered.rows
        asked.call.end(102.0)
    else:
        asked.call.end(101.0)
        assert not metered.rows
        asked.finish(102.0)
    assert metered.row.cost_nanousd == 11_000
    asked.finish(103.0)
    asked.call.end(103.0)
    assert len(metered.rows) == 1


async def test_a_leader_that_left_still_pays_when_the_last_byte_has_come() -> None:
    metered, leader = Metered(), called()
    follower = called(Outcome.COLLAPSED)
    follower.call = leader.call
    for each in (leader, follower):
        await metered.ask(each)
    leader.error = "client_disconnected"
    leader.finish(101.0)
    follower.finish(102.0)
    assert not metered.rows
    assert leader.call is not None
    leader.call.end(103.0)
    rows = {row.outcome: row for row in metered.rows}
    assert rows[Outcome.ERROR].cost_nanousd == 11_000
    assert rows[Outcome.ERROR].error == "client_disconnected"
    assert rows[Outcome.COLLAPSED].cost_nanousd == 0
    assert rows[Outcome.COLLAPSED].saved_nanousd == 11_000


async def test_a_hit_saved_what_the_stored_answer_had_cost() -> None:
    metered = Metered()
    asked = called(Outcome.HIT, stored_usage=USED, stored_cost_nanousd=5, age_s=7)
    asked.call = None
    response = await metered.ask(asked)
    asked.finish(101.0)
    assert (metered.row.cost_nanousd, metered.row.saved_nanousd) == (0, 5)
    assert metered.row.input_tokens == 9
    assert metered.row.overhead_ms == pytest.approx(512)
    assert first(response.headers, b"age") == b"7"
    assert first(response.headers, b"x-skinflint-cost-usd") == b"0"


async def test_a_hit_that_failed_is_an_error() -> None:
    metered = Metered()
    asked = called(Outcome.HIT, stored_usage=USED, stored_cost_nanousd=5, error="client_disconnected")
    asked.call = None
    await metered.ask(asked)
    asked.finish(101.0)
    assert metered.row.outcome is Outcome.ERROR


async def test_a_follower_that_failed_saved_nothing() -> None:
    metered, asked = Metered(), called(Outcome.COLLAPSED, error="reader_too_slow")
    assert asked.call is not None
    asked.call.end(101.0)
    await metered.ask(asked)
    asked.finish(101.0)
    assert (metered.row.outcome, metered.row.cost_nanousd, metered.row.saved_nanousd) == (Outcome.ERROR, 0, 0)


async def test_an_unknown_price_stays_unknown() -> None:
    metered, asked = Metered(Prices(None)), called(seen_before=True)
    assert asked.call is not None
    asked.call.end(101.0)
    response = await metered.ask(asked)
    asked.finish(101.0)
    assert (metered.row.cost_nanousd, metered.row.potential_nanousd) == (None, None)
    assert first(response.headers, b"x-skinflint-cost-usd") == b"unpriced"


async def test_what_a_cache_would_have_saved_is_said() -> None:
    metered, asked = Metered(), called(Outcome.BYPASS, seen_before=True)
    assert asked.call is not None
    asked.call.end(101.0)
    await metered.ask(asked)
    asked.finish(101.0)
    assert metered.row.potential_nanousd == 11_000


@pytest.mark.parametrize("failure", [Refusal("budget", "no", status=429), UpstreamError("dns_error", "no")])
async def test_a_call_without_an_answer_is_settled_too(failure: Refusal | UpstreamError) -> None:
    metered = Metered()
    asked = exchange(request(host="example.com"))
    with pytest.raises(type(failure)):
        await metered.ask(asked, Origin(failure))
    asked.error, asked.status = failure.code, failure.status
    if isinstance(failure, Refusal):
        asked.outcome = Outcome.REFUSED
    asked.finish(100.5)
    row = metered.row
    assert row.outcome is (Outcome.REFUSED if isinstance(failure, Refusal) else Outcome.ERROR)
    assert (row.provider, row.error, row.cost_nanousd, row.first_byte_ms) == ("unknown", failure.code, 0, None)
    assert row.overhead_ms == 0


async def test_a_streamed_request_has_no_known_size() -> None:
    metered, asked = Metered(), exchange(request(Pieces(b"x")))
    await metered.ask(asked)
    asked.finish(101.0)
    assert metered.row.request_bytes == 0


async def test_a_call_that_never_began_to_answer_has_no_overhead() -> None:
    metered, asked = Metered(), called()
    assert asked.call is not None
    asked.call.first_byte_at = asked.first_byte_at = None
    asked.call.end(101.0)
    await metered.ask(asked)
    asked.finish(101.0)
    assert metered.row.overhead_ms == 0
    assert metered.row.first_byte_ms is None


@pytest.mark.parametrize(
    ("nanousd", "shown"),
    [
        (0, b"0"),
        (1, b"0.000000001"),
        (12_500, b"0.0000125"),
        (1_000_000_000, b"1"),
        (1_500_000_000, b"1.5"),
        (10_000_000_000, b"10"),
        (123_000_000_001, b"123.000000001"),
    ],
)
async def test_money_is_plain_decimal_dollars(nanousd: int, shown: bytes) -> None:
    metered, asked = Metered(Prices(nanousd)), called()
    assert asked.call is not None
    asked.call.end(101.0)
    assert first((await metered.ask(asked)).headers, b"x-skinflint-cost-usd") == shown


async def test_a_stream_that_goes_on_has_no_known_cost_yet() -> None:
    response = await Metered().ask(called(cache_status="fwd=uri-miss"))
    assert response.headers == [*JSON, (b"cache-status", b"skinflint; fwd=uri-miss"), (b"x-skinflint-cache", b"miss")]


async def test_a_call_that_nobody_could_cache_says_so() -> None:
    asked = called(Outcome.BYPASS)
    assert first((await Metered().ask(asked)).headers, b"cache-status") == b"skinflint; fwd=bypass"
    asked = called(Outcome.COLLAPSED, cache_status="fwd=uri-miss; collapsed")
    response = await Metered().ask(asked)
    assert first(response.headers, b"cache-status") == b"skinflint; fwd=uri-miss; collapsed"
    assert first(response.headers, b"x-skinflint-cost-usd") == b"0"


async def test_an_age_of_the_stored_answer_is_replaced() -> None:
    origin = Origin(answer(headers=[*JSON, (b"age", b"999")]))
    response = await Metered().ask(called(Outcome.HIT, age_s=3), origin)
    assert [value for name, value in response.headers if name == b"age"] == [b"3"]


async def test_it_can_be_told_to_say_nothing() -> None:
    assert (await Metered(headers=False).ask(called())).headers == JSON


async def test_who_holds_the_answers_fields_does_not_see_ours() -> None:
    original = answer()
    held = original.headers

    async def origin(asked: Exchange) -> Response:
        return original

    await Metered().stage.handle(called(), origin)
    assert held == JSON


async def test_prices_that_fail_fail_no_call() -> None:
    metered, asked, failed = Metered(BrokenPrices()), called(), []
    assert asked.call is not None
    asked.call.end(101.0)

    def note(stage: str, failing: Exchange, failure: Exception) -> None:
        failed.append(stage)

    response = await compose([metered.stage], Origin(answer(b"there")), note)(asked)
    assert response.body == b"there"
    assert failed == ["meter"]
    asked.finish(102.0)
    assert not metered.rows


async def test_a_ledger_that_fails_fails_no_call() -> None:
    def broken(row: CallRecord) -> None:
        raise OSError

    asked, heard = called(), []
    await Meter(Prices(), broken, response_headers=True).handle(asked, Origin(answer()))
    asked.on_finished.append(lambda finished: heard.append("next"))
    assert asked.call is not None
    asked.call.end(101.0)
    asked.finish(102.0)
    assert heard == ["next"]


async def test_an_answer_of_parts_costs_its_shares_and_saves_the_rest() -> None:
    metered = Metered()
    asked = called(pieced=Pieced(Usage(input_tokens=20, model="m-2"), paid_nanousd=3, saved_nanousd=4))
    assert asked.call is not None
    asked.call.end(101.0)
    response = await metered.ask(asked)
    asked.finish(101.0)
    row = metered.row
    assert (row.cost_nanousd, row.saved_nanousd, row.input_tokens, row.model) == (3, 4, 20, "m-2")
    assert first(response.headers, b"x-skinflint-cost-usd") == b"0.000000003"


@pytest.mark.parametrize(("share", "paid"), [(3, 11_003), (None, None)])
async def test_who_pays_a_share_and_then_makes_a_call_of_its_own_pays_both(share: int | None, paid: int | None) -> None:
    metered, asked = Metered(), called(pieced=Pieced())
    assert asked.pieced is not None
    assert asked.call is not None
    asked.pieced.pay(share)
    asked.pieced.pay(0)
    asked.call.end(101.0)
    await metered.ask(asked)
    asked.finish(101.0)
    assert (metered.row.cost_nanousd, metered.row.saved_nanousd) == (paid, 0)
