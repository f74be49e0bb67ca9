"""What a call held is given back when it ends, not when a collector comes by."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from addons import Parts, chain
from config.caching import Cache
from config.schema import Settings
from proxy.exchange.chain import compose
from proxy.exchange.model import Exchange, Response
from proxy.exchange.usage import Usage
from proxy.providers.registry import Registry
from proxy.stores.memory import MemoryStore
from proxy.stores.rules import Rules
from proxy.tasks import TaskSet
from tests.support.exchanges import CHAT, SSE, Origin, Pieces, answer, request, turns


class Free:
    """Pricing that costs nothing."""

    version = "test"

    def cost(self, exchange: Exchange, usage: Usage | None) -> int | None:
        return 0


class Watched(Exchange):
    """An exchange that can be watched: slots leave no room for weak references."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("kind", ["whole", "stream", "left_early"])
@pytest.mark.usefixtures("no_collector")
async def test_an_exchange_is_gone_when_its_call_has_ended(kind: str) -> None:
    settings = Settings(cache=Cache(sampling="any"))
    parts = Parts(
        registry=Registry.from_settings(settings),
        pricing=Free(),
        settled=lambda record: None,
        store=MemoryStore(1 << 20),
        rules=Rules(),
        tasks=TaskSet(),
        fingerprint_key=b"k" * 32,
    )
    pieces = Pieces(b'data: {"choices":[]}\n\n', b"data: [DONE]\n\n")
    origin = Origin(answer() if kind == "whole" else answer(pieces, headers=SSE))
    handler = compose(chain(settings, parts), origin, lambda stage, exchange, failure: None)
    called = Watched("0" * 26, request(CHAT), settings, "127.0.0.1", 0.0, 1_000_000.0)
    response: Response | None = await handler(called)
    assert response is not None
    if not isinstance(response.body, bytes):
        while kind == "stream" and await response.body.read() is not None:
            pass
        await response.body.aclose()
    called.finish(1.0)
    await turns()
    origin.asked.clear()
    gone = weakref.ref(called)
    del called, response
    await turns()
    assert gone() is None
