"""Metrics, statistics and the log: their names, their bounds, and that they agree with the ledger."""

import orjson
import pytest

from tests.conftest import MakeProxy
from tests.e2e.calls import EMBEDDINGS, ask, chat
from tests.support.background import Providers
from tests.support.raw_client import post, secure
from tests.support.running import RunningProxy


@pytest.fixture
def new(make_proxy: MakeProxy, provider: Providers) -> RunningProxy:
    """A proxy whose metrics and logs hold this test's calls alone."""
    return make_proxy(provider)


async def test_metrics_agree_with_the_ledger(new: RunningProxy, prompt: str) -> None:
    await ask(new, chat(prompt))
    await ask(new, chat(prompt))
    await ask(new, orjson.dumps({"model": "text-embedding-3-small", "input": prompt}), path=EMBEDDINGS)
    rows = new.settled(3)
    labels = {"provider": "openai", "operation": "chat", "model": "gpt-4o-mini-2024-07-18"}
    assert new.metric("skinflint_requests_total", **labels, outcome="hit", code="200") == 1
    assert new.metric("skinflint_requests_total") == 3
    cost = sum(int(str(row["cost_nanousd"])) for row in rows)
    saved = sum(int(str(row["saved_nanousd"])) for row in rows)
    assert new.metric("skinflint_cost_usd_total") == pytest.approx(cost / 1e9)
    assert new.metric("skinflint_saved_usd_total") == pytest.approx(saved / 1e9)
    assert new.metric("skinflint_tokens_total", kind="output") == sum(
        int(str(row["output_tokens"])) for row in rows if row["outcome"] == "miss"
    )


METRICS = {
    "skinflint_requests_total",
    "skinflint_cost_usd_total",
    "skinflint_saved_usd_total",
    "skinflint_tokens_total",
    "skinflint_request_seconds_bucket",
    "skinflint_first_byte_seconds_bucket",
    "skinflint_overhead_seconds_bucket",
    "skinflint_client_connections_total",
    "skinflint_upstream_connections",
    "skinflint_upstream_in_flight",
    "skinflint_cache_bytes",
    "skinflint_cache_entries",
    "skinflint_client_connections_open",
    "skinflint_exchanges_in_flight",
    "skinflint_ledger_rows",
    "skinflint_tasks",
    "process_resident_memory_bytes",
}


async def test_the_names_of_metrics_are_kept(new: RunningProxy, prompt: str) -> None:
    await ask(new, chat(prompt))
    await ask(new, chat(prompt))
    new.settled(2)
    lacking = {name for name in METRICS if not new.samples(name)}
    assert lacking == set()


async def test_a_thousand_invented_models_do_not_grow_the_metrics(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_proxy(provider, {"limits": {"label_values": 50}, "log": {"level": "warning"}})
    async with await secure(proxy.port(), proxy.trust()) as client:
        for number in range(1000):
            client.send(post(chat(prompt, model=f"invented-{number}")))
            assert (await client.answer()).status == 200
    models = {sample.labels["model"] for sample in proxy.samples("skinflint_requests_total")}
    assert len(models) == 51
    assert proxy.metric("skinflint_requests_total", model="other") == 950
    assert len(proxy.settled(1000)) == 1000


async def test_statistics_count_what_happened(new: RunningProxy, prompt: str) -> None:
    await ask(new, chat(prompt))
    await ask(new, chat(prompt))
    new.settled(2)
    stats = new.stats()
    calls, cache, ledger = stats["calls"], stats["cache"], stats["ledger"]
    assert isinstance(calls, dict)
    assert isinstance(cache, dict)
    assert isinstance(ledger, dict)
    assert cache["memory"]["entries"] == 1
    assert (ledger["state"], ledger["written"], ledger["lost"]) == ("ok", 2, 0)


async def test_each_call_has_a_line_in_the_log(new: RunningProxy, prompt: str) -> None:
    await ask(new, chat(prompt))
    await ask(new, chat(prompt))
    lines = new.logged("call", 2)
    assert [line["outcome"] for line in lines] == ["miss", "hit"]
    assert [line["id"] for line in lines] == [row["id"] for row in new.settled(2)]
