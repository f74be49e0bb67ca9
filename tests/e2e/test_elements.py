"""Arrays of embedding inputs through the real proxy: only what is missing reaches the provider, in as few calls as can
be, and applications see what they would have seen without.
"""

import asyncio
from collections.abc import Iterator

import orjson
import pytest

from proxy.demo.faults import Faults
from proxy.exchange.provider import Json
from tests.e2e.calls import EMBEDDINGS, ask, said
from tests.e2e.sdk_support import Clients, python_clients, ways
from tests.support.background import Providers
from tests.support.running import RunningProxy

__all__ = ["ways"]

MODEL = "text-embedding-3-small"


def body(inputs: object, **options: object) -> bytes:
    return orjson.dumps({"model": MODEL, "input": inputs, "dimensions": 8, **options})


def sent(provider: Providers) -> list[object]:
    """The inputs of each call that reached the provider, oldest first."""
    return [orjson.loads(call.body)["input"] for call in list(provider.calls) if call.target == EMBEDDINGS]


def data(document: Json) -> list[Json]:
    rows = document["data"]
    assert isinstance(rows, list)
    return rows


async def test_the_second_of_two_that_overlap_sends_only_what_is_missing(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    one, two, three = (f"{prompt} {number}" for number in range(3))
    first = await ask(proxy, body([one, two]), path=EMBEDDINGS)
    second = await ask(proxy, body([two, three, one]), path=EMBEDDINGS)
    third = await ask(proxy, body([three, two]), path=EMBEDDINGS)
    assert sent(provider) == [[one, two], [three]]
    assert [said(each) for each in (first, second, third)] == ["miss", "miss", "hit"]
    assert second.header("cache-status") == 'skinflint; fwd=partial; detail="2 of 3 stored"'
    assert third.header("cache-status").startswith("skinflint; hit; ttl=")
    vectors = [[row["embedding"] for row in data(each.json())] for each in (first, second, third)]
    assert vectors[1] == [vectors[0][1], vectors[2][0], vectors[0][0]]
    assert vectors[2][1] == vectors[0][1]


async def test_calls_at_the_same_time_go_together(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    provider.faults = [Faults(path=EMBEDDINGS, latency_s=0.3)]
    asked = [body([f"{prompt} {number}"]) for number in range(12)]
    answers = await asyncio.gather(*(ask(proxy, each, path=EMBEDDINGS) for each in asked))
    assert {answer.status for answer in answers} == {200}
    assert len(sent(provider)) < len(asked)
    alone = [each for inputs in sent(provider) for each in inputs]  # type: ignore[attr-defined]
    assert sorted(alone) == sorted(f"{prompt} {number}" for number in range(12))


async def test_the_ledger_adds_up_to_what_was_charged(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    proxy = proxy.from_now_on()
    one, two, three = (f"{prompt} {number}" for number in range(3))
    for inputs in ([one, two], [two, three], [one, three]):
        await ask(proxy, body(inputs), path=EMBEDDINGS)
    rows = proxy.settled(3)
    assert [row["outcome"] for row in rows] == ["miss", "miss", "hit"]
    costs, savings = ([row[name] for row in rows] for name in ("cost_nanousd", "saved_nanousd"))
    assert costs[0] > 0  # type: ignore[operator]
    assert (costs[2], savings[0]) == (0, 0)
    assert savings[2] == costs[0] + costs[1] - savings[1]  # type: ignore[operator]


# -- the SDK


@pytest.fixture(scope="module")
def embeddings(ways: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with python_clients(ways, "openai_embeddings.py", tmp_path_factory.mktemp("embeddings")) as clients:  # type: ignore[arg-type]
        yield clients


def inputs_of(clients: Clients, name: str) -> list[object]:
    """What reaches the provider when a scenario runs through the proxy for the first time."""
    seen = clients.see(name)
    assert seen.through == seen.direct
    assert seen.again == seen.direct
    assert not seen.calls_again
    count = sum(seen.calls_through.values())
    return sent(clients.ways.provider)[-count:]


def test_the_sdk_sees_what_it_would_have_seen_and_less_is_paid(embeddings: Clients) -> None:
    assert inputs_of(embeddings, "overlapping") == [["red", "green"], ["blue", 'rot \u00e9\n"']]


def test_vectors_as_floats(embeddings: Clients) -> None:
    assert inputs_of(embeddings, "overlapping_floats") == [["one", "two"], ["three"]]


def test_inputs_as_tokens(embeddings: Clients) -> None:
    assert inputs_of(embeddings, "overlapping_tokens") == [[[1, 2], [3]], [[4, 5, 6]]]


def test_the_sdks_calls_at_once_go_together(embeddings: Clients) -> None:
    asked = inputs_of(embeddings, "at_once")
    assert len(asked) < 20
    flat = [each for inputs in asked for each in inputs]  # type: ignore[attr-defined]
    assert sorted(flat) == sorted([f"text {number}" for number in range(20)] + ["text 30"])
