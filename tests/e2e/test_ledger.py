"""What every call leaves behind: a row with tokens and money, metrics with bounded labels, statistics."""

import asyncio
from dataclasses import replace

import orjson
import pytest

from proxy.demo.faults import Faults, Options
from tests.conftest import MakeProvider, MakeProxy
from tests.e2e.calls import CHAT, ask, begin, chat, get, reply
from tests.support.background import Providers
from tests.support.raw_client import Answer, connect, request
from tests.support.running import Row, RunningProxy
from tests.support.waiting import until


@pytest.fixture
def own(proxy: RunningProxy, provider: Providers) -> RunningProxy:
    """The shared proxy, with this test's rows alone."""
    return proxy.from_now_on()


@pytest.fixture
def new(make_proxy: MakeProxy, provider: Providers) -> RunningProxy:
    """A proxy whose metrics and logs hold this test's calls alone."""
    return make_proxy(provider)


def usage(answer: Answer) -> tuple[object, object]:
    """The tokens that the provider reported."""
    reported = answer.json()["usage"]
    assert isinstance(reported, dict)
    return reported["prompt_tokens"], reported["completion_tokens"]


async def test_a_miss_is_paid_for_and_a_hit_saves_as_much(own: RunningProxy, prompt: str) -> None:
    first = await ask(own, chat(prompt))
    await ask(own, chat(prompt))
    paid, saved = own.settled(2)
    assert (paid["input_tokens"], paid["output_tokens"]) == usage(first)
    assert (paid["outcome"], saved["outcome"]) == ("miss", "hit")
    assert paid["cost_nanousd"] == saved["saved_nanousd"]
    assert isinstance(paid["cost_nanousd"], int)
    assert paid["cost_nanousd"] > 0
    assert (paid["saved_nanousd"], saved["cost_nanousd"]) == (0, 0)
    assert paid["estimated"] == 0


async def test_the_price_is_the_published_one(own: RunningProxy, prompt: str) -> None:
    answer = await ask(own, chat(prompt))
    (row,) = own.settled(1)
    tokens_in, tokens_out = usage(answer)
    assert isinstance(tokens_in, int)
    assert isinstance(tokens_out, int)
    assert row["cost_nanousd"] == tokens_in * 150 + tokens_out * 600  # gpt-4o-mini: $0.15 and $0.60 a million
    assert row["model"] == "gpt-4o-mini-2024-07-18"


async def test_a_row_says_who_what_and_how_long(own: RunningProxy, prompt: str) -> None:
    answer = await ask(own, chat(prompt))
    (row,) = own.settled(1)
    expected: Row = {
        "client": "127.0.0.1",
        "provider": "openai",
        "operation": "chat",
        "status": 200,
        "streamed": 0,
        "request_bytes": len(chat(prompt)),
        "response_bytes": len(answer.body),
        "service_tier": "default",
        "error": "",
    }
    assert {name: row[name] for name in expected} == expected
    assert len(str(row["credential"])) == 12
    assert 0 < float(str(row["first_byte_ms"])) <= float(str(row["total_ms"])) < 20_000
    assert 0 < float(str(row["overhead_ms"])) < float(str(row["total_ms"]))


async def test_collapsed_calls_pay_nothing(own: RunningProxy, provider: Providers, prompt: str) -> None:
    provider.options = replace(provider.options, latency_s=0.3)
    await asyncio.gather(*(ask(own, chat(prompt)) for _ in range(5)))
    rows = own.settled(5)
    paid = [row for row in rows if row["outcome"] == "miss"]
    shared = [row for row in rows if row["outcome"] == "collapsed"]
    assert (len(paid), len(shared)) == (1, 4)
    assert {row["saved_nanousd"] for row in shared} == {paid[0]["cost_nanousd"]}
    assert {row["cost_nanousd"] for row in shared} == {0}


async def test_a_sampled_call_is_a_bypass_with_its_potential(own: RunningProxy, prompt: str) -> None:
    for _ in range(2):
        await ask(own, chat(prompt, temperature=1))
    first, second = own.settled(2)
    assert (first["outcome"], second["outcome"]) == ("bypass", "bypass")
    assert first["potential_nanousd"] == 0
    assert second["potential_nanousd"] == second["cost_nanousd"] != 0


async def test_a_refusal_is_recorded_as_such(own: RunningProxy, prompt: str) -> None:
    await ask(own, chat(prompt), ("cache-control", "only-if-cached"))
    (row,) = own.settled(1)
    assert (row["outcome"], row["status"], row["cost_nanousd"]) == ("refused", 504, 0)


async def test_a_failure_is_recorded_with_its_word(own: RunningProxy, provider: Providers, prompt: str) -> None:
    provider.faults.append(Faults(failure="reset"))
    await ask(own, prompt.encode(), path="/v1/files")
    (row,) = own.settled(1)
    assert (row["outcome"], row["status"], row["error"]) == ("error", 502, "connection_terminated")


async def test_a_providers_own_error_costs_nothing(own: RunningProxy, provider: Providers, prompt: str) -> None:
    provider.faults.append(Faults(status=429, retry_after="1"))
    answer = await ask(own, chat(prompt))
    (row,) = own.settled(1)
    assert (answer.status, answer.header("retry-after")) == (429, "1")
    assert (row["outcome"], row["status"], row["cost_nanousd"]) == ("miss", 429, 0)


async def test_usage_is_asked_for_and_the_client_never_sees_it(
    own: RunningProxy, provider: Providers, prompt: str
) -> None:
    answer = await ask(own, chat(prompt, stream=True))
    (call,) = provider.calls
    assert orjson.loads(call.body)["stream_options"] == {"include_usage": True}
    chunks = [orjson.loads(event.removeprefix(b"data: ")) for event in answer.events()[:-1]]
    assert all(chunk["choices"] for chunk in chunks)
    assert not any(chunk.get("usage") for chunk in chunks)
    (row,) = own.settled(1)
    assert (row["output_tokens"], row["streamed"], row["estimated"]) == (8, 1, 0)


async def test_a_client_that_asks_for_usage_gets_it(own: RunningProxy, provider: Providers, prompt: str) -> None:
    body = chat(prompt, stream=True, stream_options={"include_usage": True})
    answer = await ask(own, body)
    (call,) = provider.calls
    assert call.body == body
    assert orjson.loads(answer.events()[-2].removeprefix(b"data: "))["usage"]["completion_tokens"] == 8


async def test_usage_is_not_asked_for_when_told_so(make_proxy: MakeProxy, provider: Providers, prompt: str) -> None:
    proxy = make_proxy(provider, {"cost": {"ask_usage": False}})
    body = chat(prompt, stream=True)
    await ask(proxy, body)
    (call,) = provider.calls
    assert call.body == body
    (row,) = proxy.settled(1)
    assert row["cost_nanousd"] is None


async def test_a_price_that_is_unknown_is_no_price(new: RunningProxy, prompt: str) -> None:
    answer = await ask(new, chat(prompt, model="never-heard-of"))
    (row,) = new.settled(1)
    assert row["cost_nanousd"] is None
    assert answer.header("x-skinflint-cost-usd") == "unpriced"
    assert new.metric("skinflint_unpriced_total", model="never-heard-of") == 1


async def test_a_price_of_ones_own_counts(make_proxy: MakeProxy, provider: Providers, prompt: str) -> None:
    proxy = make_proxy(provider)
    prices = proxy.directory / "prices.yaml"
    prices.write_text("openai: [{model: house-model, input: 1.0, output: 2.0}]\n")
    config = orjson.loads(proxy.config.read_bytes())
    proxy.config.write_bytes(orjson.dumps({**config, "cost": {"prices": str(prices)}}))
    proxy.reload()
    await until(lambda: bool(proxy.events("settings_applied") or proxy.events("settings_refused")), "it was read")
    assert proxy.events("settings_refused") == []
    await ask(proxy, chat(prompt, model="house-model"))
    (row,) = proxy.settled(1)
    tokens = int(str(row["input_tokens"])) + 2 * int(str(row["output_tokens"]))
    assert row["cost_nanousd"] == tokens * 1000


async def test_the_client_is_told_what_it_cost(own: RunningProxy, prompt: str) -> None:
    first, second = await ask(own, chat(prompt)), await ask(own, chat(prompt))
    (row, _) = own.settled(2)
    cost = int(str(row["cost_nanousd"]))
    assert round(float(first.header("x-skinflint-cost-usd")) * 1e9) == cost
    assert second.header("x-skinflint-cost-usd") == "0"


async def test_a_stream_that_breaks_off_is_estimated(own: RunningProxy, provider: Providers, prompt: str) -> None:
    provider.options = replace(provider.options, interval_s=0.01)
    with pytest.raises(EOFError):
        await ask(own, chat(prompt, stream=True), ("x-sim-faults", '{"cut_after": 5}'))
    (row,) = own.settled(1)
    assert (row["outcome"], row["estimated"], row["output_tokens"]) == ("error", 1, 5)
    assert row["cost_nanousd"]


async def test_a_client_that_leaves_a_stream_is_settled_with_an_estimate(
    own: RunningProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=400, interval_s=0.01)
    client = await begin(own, chat(prompt, stream=True))
    await client.read()
    await client.leave()
    (row,) = own.settled(1)
    assert (row["error"], row["estimated"], row["status"]) == ("client_disconnected", 1, 200)
    assert row["cost_nanousd"]


async def test_labels_come_from_the_settings_and_from_fields_that_stay_here(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_proxy(provider, {"attribution": {"labels": {"team": "search"}}})
    await ask(proxy, chat(prompt), ("X-Skinflint-Label-App", "billing"))
    (row,) = proxy.settled(1)
    assert orjson.loads(str(row["labels"])) == {"team": "search", "app": "billing"}
    (call,) = provider.calls
    assert b"x-skinflint-label-app" not in {name for name, _ in call.headers}


async def test_labels_of_the_process_are_in_every_row(make_proxy: MakeProxy, provider: Providers, prompt: str) -> None:
    proxy = make_proxy(provider, {"attribution": {"labels": {"pod": "web-1"}}, "cache": {"sampling": "any"}})
    provider.options = replace(provider.options, latency_s=0.5)
    await asyncio.gather(*(ask(proxy, chat(prompt)) for _ in range(2)))
    provider.options = replace(provider.options, latency_s=0.0)
    for _ in range(2):  # the second skips the chain
        await ask(proxy, chat(prompt))
    await ask(proxy, chat(prompt, stream=True))
    await get(proxy, "/v1/brand/new")
    rows = proxy.settled(6)
    assert {row["outcome"] for row in rows} == {"miss", "collapsed", "hit", "bypass"}
    assert {str(row["labels"]) for row in rows} == {'{"pod":"web-1"}'}


async def test_metrics_say_whose_process_it_is_and_whose_calls_they_count(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    settings = {"attribution": {"labels": {"pod": "web-1", "team": "search"}, "call_metric_labels": ["app"]}}
    proxy = make_proxy(provider, settings)
    for app in ("billing", "billing", "search"):
        await ask(proxy, chat(prompt), ("X-Skinflint-Label-App", app))
    proxy.settled(3)
    assert proxy.metric("skinflint_requests_total", app="billing", pod="web-1", team="search") == 2
    assert proxy.metric("skinflint_requests_total", app="search", pod="web-1", team="search") == 1
    assert proxy.samples("process_resident_memory_bytes")[0].labels == {"pod": "web-1", "team": "search"}
    assert proxy.stats()["labels"] == {"pod": "web-1", "team": "search"}


async def test_credentials_are_told_apart_without_being_kept(own: RunningProxy, prompt: str) -> None:
    for key in ("sk-one", "sk-one", "sk-two"):
        await ask(own, chat(prompt, user=key), key=key)
    first, second, third = (row["credential"] for row in own.settled(3))
    assert first == second != third


async def test_an_unknown_path_of_a_provider_is_relayed_and_recorded(own: RunningProxy, provider: Providers) -> None:
    answer = await get(own, "/v1/brand/new?x=1")
    (row,) = own.settled(1)
    assert answer.status == 404
    assert provider.targets == ["/v1/brand/new?x=1"]
    assert (row["operation"], row["outcome"]) == ("unknown", "bypass")


async def test_without_a_ledger_calls_go_on(make_proxy: MakeProxy, provider: Providers, prompt: str) -> None:
    proxy = make_proxy(provider, {"ledger": {"enabled": False}})
    assert (await ask(proxy, chat(prompt))).status == 200
    assert not (proxy.data_dir / "ledger.sqlite").exists()
    assert proxy.metric("skinflint_requests_total") == 1


async def test_identifiers_of_rows_are_unique_and_in_order(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    provider = make_provider(Options(events=2))
    mode = "reverse:https://api.openai.com"
    proxy = make_proxy(provider, {"listeners": [{"address": "127.0.0.1:0", "mode": mode}]})

    async def client(number: int) -> None:
        async with await connect(proxy.port(mode)) as connection:
            for _ in range(20):
                connection.send(request("GET", "/v1/models", key=f"sk-{number}"))
                await connection.answer()

    await asyncio.gather(*(client(number) for number in range(20)))
    rows = proxy.settled(400)
    assert len({row["id"] for row in rows}) == 400
    starts = [float(str(row["started_at"])) for row in rows]
    assert starts == sorted(starts) or max(abs(a - b) for a, b in zip(starts, sorted(starts), strict=True)) < 0.01


async def test_an_answer_without_usage_that_should_have_some_is_unpriced(
    own: RunningProxy, provider: Providers, prompt: str
) -> None:
    provider.script(lambda _call: reply(b'{"choices":[{"finish_reason":"stop"}]}'))
    await ask(own, chat(prompt))
    (row,) = own.settled(1)
    assert row["cost_nanousd"] is None
    assert provider.count(path=CHAT) == 1
