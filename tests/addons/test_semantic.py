"""A call in other words gets the stored answer where a route asks for it, and never another one's."""

import subprocess
import sys
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import orjson
import pytest

from addons import Parts, chain
from config.schema import Settings
from proxy.exchange.chain import compose
from proxy.exchange.headers import first
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import CallRecord, Outcome
from proxy.semantic.embedder import DEADLINE_S
from proxy.semantic.index import Match, Row, Vector
from proxy.semantic.state import SemanticState
from tests.addons.streams import DONE, FIRST, SECOND, consumed
from tests.addons.test_chain_list import parts
from tests.support.exchanges import CHAT_ANSWER, SSE, Origin, Pieces, answer, exchange, request, settings, turns

ASKED = "How do I sort a list in Python?"
ALIKE = "In Python, how can I sort a list?"
OTHER = "How do I sort a list in Ruby?"


@dataclass
class Model:
    """Vectors as the test says; without one, all texts are near."""

    vectors: dict[str, list[float]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    is_there: bool = True

    async def embed(self, text: str, deadline_s: float = DEADLINE_S) -> Vector | None:
        self.asked.append(text)
        return array("f", self.vectors.get(text, [1.0, 0.0])) if self.is_there else None


def asking(
    text: str, *, headers: Sequence[tuple[bytes, bytes]] = (), key: bytes = b"sk-one", **more: object
) -> Exchange:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], "temperature": 0, **more}
    return exchange(request(orjson.dumps(body), headers=headers, key=key))


class Proxy:
    """The whole chain on one store, with a model of the test's."""

    def __init__(self, mode: str = "on", *, threshold: float | None = None, **sections: object) -> None:
        self.model = Model()
        self.state = SemanticState(embedder=self.model)
        self.rows: list[CallRecord] = []
        self.origin = Origin(*[answer(CHAT_ANSWER) for _ in range(2)])
        self.failed: list[Exception] = []
        policy = {"semantic": mode, "semantic_threshold": threshold}
        self.settings: Settings = settings(routes=[{"operation": "chat", "policy": policy}], **sections)
        self.parts: Parts = replace(parts(self.rows), semantic=self.state)
        self.handler = compose(
            chain(self.settings, self.parts), self.origin, lambda stage, called, failure: self.failed.append(failure)
        )

    async def ask(self, called: Exchange, origin: Origin | None = None) -> Response:
        response = await self.handler(called)
        await consumed(response)
        called.finish(101.0)
        await turns()
        assert not self.failed
        return response

    def counted(self) -> dict[str, int]:
        names = ("hit", "would_hit", "below", "gone", "none", "unready", "unfit")
        return {name: count for name in names if (count := self.state.counts.of(name))}


async def test_what_was_asked_in_other_words_is_answered_from_the_store() -> None:
    proxy = Proxy()
    await proxy.ask(asking(ASKED))
    called = asking(ALIKE)
    response = await proxy.ask(called)
    assert response.body == CHAT_ANSWER
    assert len(proxy.origin.asked) == 1
    assert called.outcome is Outcome.HIT
    assert first(response.headers, b"cache-status") == b"skinflint; hit; ttl=3600; detail=semantic"
    assert first(response.headers, b"x-skinflint-cache") == b"hit"
    assert [(row.outcome, row.cost_nanousd, row.saved_nanousd) for row in proxy.rows] == [
        (Outcome.MISS, 11_000, 0),
        (Outcome.HIT, 0, 11_000),
    ]
    assert proxy.counted() == {"none": 1, "hit": 1}
    assert called.replayed is None  # the short way knows one key a call
    assert not called.watchers


async def test_a_call_that_is_alike_to_nothing_waits_for_no_model() -> None:
    proxy = Proxy()
    await proxy.ask(asking(ASKED))
    assert proxy.model.asked == [ASKED]  # after its answer
    await proxy.ask(asking(OTHER))
    assert len(proxy.origin.asked) == 2
    assert proxy.counted() == {"none": 2}


@pytest.mark.parametrize(
    "other",
    [
        asking(ALIKE, key=b"sk-two"),
        asking(ALIKE, top_p=0.5),
        asking(ALIKE, stream=True),
        asking(ALIKE, tools=[{"type": "function", "function": {"name": "f"}}]),
        asking(ALIKE, messages=[{"role": "system", "content": "s"}, {"role": "user", "content": ALIKE}]),
        asking(ALIKE, model="gpt-4o"),
        asking(ALIKE, headers=[(b"openai-beta", b"x")]),
        asking(ALIKE, headers=[(b"x-skinflint-namespace", b"other")]),
    ],
    ids=["credential", "parameter", "stream", "tools", "system", "model", "header", "namespace"],
)
async def test_everything_but_the_last_text_must_be_equal(other: Exchange) -> None:
    proxy = Proxy()
    await proxy.ask(asking(ASKED))
    await proxy.ask(other)
    assert len(proxy.origin.asked) == 2
    assert proxy.counted() == {"none": 2}


async def test_the_model_may_say_no() -> None:
    proxy = Proxy(threshold=0.9)
    proxy.model.vectors[ALIKE] = [0.8, 0.6]
    await proxy.ask(asking(ASKED))
    await proxy.ask(asking(ALIKE))
    assert len(proxy.origin.asked) == 2
    assert proxy.counted() == {"none": 1, "below": 1}
    lower = Proxy(threshold=0.7)
    lower.model.vectors[ALIKE] = [0.8, 0.6]
    await lower.ask(asking(ASKED))
    await lower.ask(asking(ALIKE))
    assert lower.counted() == {"none": 1, "hit": 1}


async def test_shadow_mode_passes_calls_on_and_counts() -> None:
    proxy = Proxy("shadow")
    await proxy.ask(asking(ASKED))
    called = asking(ALIKE)
    await proxy.ask(called)
    assert called.outcome is Outcome.MISS
    assert len(proxy.origin.asked) == 2
    assert proxy.counted() == {"none": 1, "would_hit": 1}
    families = {family.name: family for family in proxy.state.counts.collect()}
    assert families["skinflint_semantic_would_save_usd"].samples[0].value == 11_000 / 1e9
    assert families["skinflint_semantic_similarity"].samples[-2].value == 1


async def test_nothing_is_shown_before_something_is_counted() -> None:
    assert list(SemanticState().counts.collect()) == []


async def test_without_a_vector_there_is_no_hit_and_no_failure() -> None:
    proxy = Proxy()
    await proxy.ask(asking(ASKED))
    proxy.model.is_there = False
    await proxy.ask(asking(ALIKE))
    assert len(proxy.origin.asked) == 2
    assert proxy.counted() == {"none": 1, "unready": 1}
    assert len(proxy.state.index) == 1


@pytest.mark.parametrize("control", [b"no-cache", b"max-age=0"])
async def test_the_clients_cache_control_is_obeyed(control: bytes) -> None:
    proxy = Proxy()
    await proxy.ask(asking(ASKED))
    called = asking(ALIKE, headers=[(b"cache-control", control)])
    called.wall_time = time.time() + 5
    await proxy.ask(called)
    assert len(proxy.origin.asked) == 2


async def test_what_must_not_be_kept_answers_nobody() -> None:
    proxy = Proxy()
    await proxy.ask(asking(ASKED, headers=[(b"x-skinflint-cache", b"read")]))
    await proxy.ask(asking(ASKED + " ", headers=[(b"cache-control", b"no-store")]))
    assert len(proxy.state.index) == 0


async def test_an_answer_that_is_too_old_or_gone_is_none() -> None:
    proxy = Proxy()
    await proxy.ask(asking(ASKED))
    late = asking(ALIKE)
    late.wall_time = 1e12
    await proxy.ask(late)
    assert proxy.counted() == {"none": 1, "gone": 1}
    await proxy.parts.store.clear()
    await proxy.ask(asking("How do you sort a list in Python?"))
    assert len(proxy.origin.asked) == 3


@pytest.mark.parametrize(
    "called",
    [
        asking("x" * 3000),
        asking(ASKED, messages=[{"role": "assistant", "content": ASKED}]),
        asking(ASKED, messages=[{"role": "user", "content": [{"type": "image_url"}]}]),
    ],
    ids=["long", "assistant", "image"],
)
async def test_what_is_no_plain_text_is_left_alone(called: Exchange) -> None:
    proxy = Proxy()
    await proxy.ask(called)
    assert proxy.counted() == {"unfit": 1}
    assert len(proxy.state.index) == 0


async def test_calls_with_several_answers_are_left_alone() -> None:
    proxy = Proxy(cache={"buckets": 3})
    await proxy.ask(asking(ASKED))
    assert proxy.counted() == {"unfit": 1}


async def test_an_incomplete_or_failed_answer_answers_nobody() -> None:
    for failed in (answer(CHAT_ANSWER, 400), answer(Pieces(FIRST, SECOND), headers=SSE)):
        proxy = Proxy()
        proxy.origin._answers = [failed]
        await proxy.ask(asking(ASKED, stream=True))
        assert len(proxy.state.index) == 0
    proxy = Proxy()
    proxy.origin._answers = [answer(Pieces(FIRST, SECOND, DONE), headers=SSE)]
    await proxy.ask(asking(ASKED, stream=True))
    assert len(proxy.state.index) == 1


class Elsewhere:
    """An index that other replicas share, and which knows one call."""

    def __init__(self, known: Sequence[Match] = ()) -> None:
        self.known = list(known)
        self.added: list[Row] = []
        self.forgotten: list[bytes] = []

    async def like(self, scope: bytes, key: bytes, vector: Vector, characters: int) -> Sequence[Match]:
        return self.known

    async def add(self, scope: bytes, key: bytes, row: Row) -> None:
        self.added.append(row)

    async def forget(self, scope: bytes, fingerprint: bytes) -> None:
        self.forgotten.append(fingerprint)


async def test_what_another_replica_was_asked_is_found_in_the_shared_index() -> None:
    proxy, shared = Proxy(), Elsewhere()
    await proxy.ask(asking(ASKED))
    (row,) = proxy.state.index.like(next(iter(proxy.state.index._rows)))
    other = Proxy()
    other.state = SemanticState(embedder=other.model, shared=shared)
    other.parts = replace(proxy.parts, semantic=other.state)
    other.handler = compose(chain(other.settings, other.parts), other.origin, lambda *failure: None)
    shared.known = [Match(b"gone" * 8, 0.99), Match(row.fingerprint, 0.97)]
    called = asking(ALIKE)
    await other.ask(called)
    assert called.outcome is Outcome.HIT
    assert shared.forgotten == [b"gone" * 8]
    shared.known = []
    await other.ask(asking(OTHER))
    assert [row.characters for row in shared.added] == [len(OTHER)]


async def test_vectors_of_sensitive_calls_stay_in_this_process() -> None:
    proxy, shared = Proxy(cache={"sensitive": True}), Elsewhere()
    proxy.state.shared = shared
    await proxy.ask(asking(ASKED))
    assert (len(proxy.state.index), shared.added) == (1, [])


@pytest.mark.parametrize("mode", ["off", None])
def test_without_a_route_that_asks_for_it_there_is_no_stage(mode: str | None) -> None:
    configured = settings(routes=[{"policy": {"semantic": mode}}])
    assert "semantic" not in [stage.name for stage in chain(configured, parts([]))]


def test_who_does_not_use_it_has_not_loaded_it() -> None:
    used = "import sys, addons, proxy.app; print(sorted(name for name in sys.modules if 'semantic' in name))"
    loaded = subprocess.run([sys.executable, "-c", used], capture_output=True, text=True, check=True).stdout
    modules = ["counts", "embedder", "index", "state"]
    assert loaded.strip() == str(["proxy.semantic", *(f"proxy.semantic.{name}" for name in modules)])


def test_it_stands_between_the_cache_and_what_is_shared_in_flight() -> None:
    configured = settings(routes=[{"policy": {"semantic": "shadow"}}])
    names = [stage.name for stage in chain(configured, parts([]))]
    assert names[names.index("cache") :][:4] == ["cache", "batch", "semantic", "collapse"]


async def test_calls_of_other_routes_are_not_looked_at() -> None:
    proxy = Proxy()
    configured = settings(routes=[{"operation": "responses", "policy": {"semantic": "on"}}])
    handler = compose(chain(configured, proxy.parts), proxy.origin, lambda *failure: None)
    await consumed(await handler(asking(ASKED)))
    assert proxy.counted() == {}
