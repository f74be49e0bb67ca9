"""Chat streams as OpenAI sends them, with and without the usage event, and who puts stages together for these tests."""

from addons.cache import CacheStage
from addons.observe import Observe
from addons.renewals import Renewals
from config.schema import Settings
from proxy.exchange.cache_control import narrowed, parse
from proxy.exchange.chain import Handler
from proxy.exchange.forward import show, show_end
from proxy.exchange.model import Ending, Exchange, Response
from proxy.exchange.provider import Operation
from proxy.exchange.usage import Usage
from proxy.stores.base import Entry, Store, StoreStats
from proxy.stores.memory import MemoryStore
from proxy.tasks import TaskSet
from tests.support.clock import Clock
from tests.support.exchanges import CHAT_STREAM, REGISTRY, calling, exchange, request

FIRST = b'data: {"id":"c1","model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n'
SECOND = (
    b'data: {"id":"c1","model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{"content":"lo"},'
    b'"finish_reason":"stop"}]}\n\n'
)
USAGE = (
    b'data: {"id":"c1","model":"gpt-4o-mini-2024-07-18","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,'
    b'"total_tokens":11}}\n\n'
)
DONE = b"data: [DONE]\n\n"
WHOLE = (FIRST, SECOND, USAGE, DONE)
CHATTING = Operation("chat", answers=True, sampled=True, repeatable=True)


def chatting(body: bytes = CHAT_STREAM, **more: object) -> Exchange:
    """An exchange that stands where `cache` gets it: identified, allowed to be answered again, with a fingerprint."""
    provider = REGISTRY.by_name("openai")
    assert provider is not None
    asked = request(body)
    called = exchange(asked, provider=provider, operation=CHATTING, fingerprint=b"f" * 32)
    called.json = {"stream": True} if body is CHAT_STREAM else {}
    called.facts = provider.describe(CHATTING, asked.path, "", {"model": "gpt-4o-mini", **called.json})
    called.answers_again, called.collapses, called.ttl_s = True, True, 60.0
    for name, value in more.items():
        setattr(called, name, value)
    return called


def cost(called: Exchange, usage: Usage | None) -> int | None:
    """A price list of one: a thousand nano-dollars a token."""
    return None if usage is None else 1000 * (usage.input_tokens + usage.output_tokens)


class Cached:
    """cache and observe in front of an origin, with a store of their own."""

    def __init__(
        self, configured: Settings | None = None, store: Store | None = None, *, seen_limit: int = 100
    ) -> None:
        self.store: Store = store or MemoryStore(1 << 20)
        self.tasks = TaskSet()
        self.clock = Clock(1_000_000.0)
        self.renewed: list[Exchange] = []
        self.renewals = Renewals(self.tasks, self.renewed.append, 2, clock=self.clock, wall_clock=self.clock)
        self.chosen = 0
        self.stage = CacheStage(
            self.store,
            configured or Settings(),
            self.tasks,
            cost,
            self.renewals,
            clock=self.clock,
            choose=lambda count: self.chosen % count,
            seen_limit=seen_limit,
        )

    async def ask(self, called: Exchange, origin: Handler) -> Response:
        called.wall_time = self.clock.now
        called.directives = narrowed(parse(called.request.headers), called.asked.mode)
        return await calling(self.stage, Observe(TaskSet()), end=origin)(called)

    def entries(self) -> int:
        return self.store.stats().entries


async def consumed(response: Response, limit: int | None = None) -> bytes:
    """What the edge does with a body, taps included; stops after `limit` pieces as if the client had left."""
    if isinstance(response.body, bytes):
        return response.body
    pieces: list[bytes] = []
    ending = Ending.ABANDONED
    try:
        while limit is None or len(pieces) < limit:
            piece = await response.body.read()
            if piece is None:
                ending = Ending.COMPLETE
                break
            pieces.append(piece)
            show(response.taps, piece)
    except Exception:
        ending = Ending.TRUNCATED
        raise
    finally:
        show_end(response.taps, ending)
        await response.body.aclose()
    return b"".join(pieces)


class BrokenStore:
    """A store that always fails."""

    async def get(self, key: bytes) -> Entry | None:
        raise ConnectionError

    async def put(self, key: bytes, entry: Entry) -> None:
        raise ConnectionError

    async def delete(self, key: bytes) -> bool:
        raise ConnectionError

    async def clear(self) -> int:
        raise ConnectionError

    def stats(self) -> StoreStats:
        return StoreStats("broken", 0, 0, 0, 0)


def no_renewals() -> Renewals:
    """For a cache whose policies ask for none."""
    return Renewals(TaskSet(), lambda called: None, 0)
