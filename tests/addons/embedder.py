"""An origin that embeds as OpenAI does, and the whole chain of stages in front of it, for the tests of `batch`.

A text counts as many tokens as it has bytes; a vector follows from the model and the input alone. What goes wrong, and
when answers come, is the test's choice.
"""

import asyncio
import hashlib

import orjson

from addons import Parts, chain
from addons.batch.stage import Batch
from addons.fingerprint import Fingerprint
from config.schema import Settings
from proxy.exchange.chain import Handler, Stage, compose
from proxy.exchange.headers import HeaderList
from proxy.exchange.model import Exchange, Response
from proxy.exchange.provider import Json
from proxy.exchange.record import CallRecord
from proxy.exchange.usage import Usage
from proxy.stores.base import Store
from proxy.stores.memory import MemoryStore
from proxy.stores.rules import Rules
from proxy.tasks import TaskSet
from tests.addons.streams import cost
from tests.support.clock import Clock
from tests.support.exchanges import JSON, REGISTRY, exchange, request, settings

MODEL = "text-embedding-3-small"


class PerToken:
    """A thousand nano-dollars a token."""

    version = "v1"

    def cost(self, called: Exchange, usage: Usage | None) -> int | None:
        return cost(called, usage) if usage is not None else 0


def vector(model: str, value: object) -> list[float]:
    """What an input becomes."""
    return [byte / 7 for byte in hashlib.sha256(orjson.dumps([model, value])).digest()[:3]]


def counted(value: object) -> int:
    """Its tokens."""
    return len(value) if isinstance(value, list) else len(orjson.dumps(value)) - 2


def inputs_of(body: bytes) -> list[object]:
    """What a request asks for, one by one."""
    given = orjson.loads(body)["input"]
    if isinstance(given, str) or (given and isinstance(given[0], int)):
        return [given]
    assert isinstance(given, list)
    return given


def answered(body: bytes, model: str = "") -> bytes:
    """The provider's answer to a request of its own."""
    asked = orjson.loads(body)
    inputs = inputs_of(body)
    total = sum(map(counted, inputs))
    rows: list[Json] = [
        {"object": "embedding", "index": at, "embedding": vector(asked["model"], each)}
        for at, each in enumerate(inputs)
    ]
    usage = {"prompt_tokens": total, "total_tokens": total}
    return orjson.dumps({"object": "list", "data": rows, "model": model or asked["model"], "usage": usage})


class Embedder:
    """The end of a chain."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.ids: list[HeaderList] = []
        self.charged_tokens = 0
        self.gate: asyncio.Event | None = None
        self.bad: object = None  # an input that is refused
        self.fails: Response | Exception | None = None
        self.model = ""
        self.change = lambda body: body

    async def __call__(self, called: Exchange) -> Response:
        body = called.request.body
        assert isinstance(body, bytes)
        self.asked.append(body)
        self.ids.append(list(called.request.headers))
        if (gate := self.gate) is not None:
            await gate.wait()
        if isinstance(self.fails, Exception):
            raise self.fails
        if self.fails is not None:
            return Response(self.fails.status, list(self.fails.headers), self.fails.body)
        inputs = inputs_of(body)
        if self.bad in inputs:
            wrong = {"error": {"message": f"input[{inputs.index(self.bad)}] is bad", "type": "invalid_request_error"}}
            return Response(400, list(JSON), orjson.dumps(wrong))
        self.charged_tokens += sum(map(counted, inputs))
        fields = [*JSON, (b"x-request-id", b"r-%d" % len(self.asked)), (b"set-cookie", b"a=b")]
        return Response(200, fields, self.change(answered(body, self.model)))

    def inputs(self) -> list[list[object]]:
        """What each call asked for."""
        return [inputs_of(body) for body in self.asked]


class Proxied:
    """Everything between a client and the origin."""

    def __init__(
        self, origin: Embedder, *, store: Store | None = None, prices: PerToken | None = None, **sections: object
    ) -> None:
        self.rows: list[CallRecord] = []
        self.failed: list[str] = []
        self.clock = Clock(1_000_000.0)
        self.tasks = TaskSet()
        self.rules = Rules()
        self.store = store or MemoryStore(8 << 20)
        self.prices = prices or PerToken()
        parts = Parts(
            registry=REGISTRY,
            pricing=self.prices,
            settled=self.rows.append,
            store=self.store,
            rules=self.rules,
            tasks=self.tasks,
            fingerprint_key=b"k" * 32,
        )
        configured = settings(**sections)
        self.stages = [self._timed(stage, configured) for stage in chain(configured, parts)]
        self.through(origin)

    def _timed(self, stage: Stage, configured: Settings) -> Stage:
        """The stage with the test's clock."""
        if not isinstance(stage, Batch):
            return stage
        scope = Fingerprint(b"k" * 32, configured.cache).scope
        price_of = self.prices.cost
        return Batch(b"k" * 32, scope, self.store, configured, tasks=self.tasks, price_of=price_of, clock=self.clock)

    def through(self, origin: Handler) -> None:
        """Another end of the chain."""
        self.handler = compose(
            self.stages, origin, lambda stage, called, failure: self.failed.append(f"{stage}: {failure!r}")
        )

    def exchange(
        self,
        given: object,
        *headers: tuple[bytes, bytes],
        raw: bytes | None = None,
        key: bytes = b"sk-one",
        **options: object,
    ) -> Exchange:
        """A call for these inputs."""
        body = raw or orjson.dumps({"model": MODEL, "input": given, **options})
        called = exchange(request(body, target="/v1/embeddings", headers=headers, key=key))
        called.wall_time = self.clock.now
        return called

    async def run(self, called: Exchange) -> Response:
        """What the edge does: runs it, and settles it whatever happens."""
        try:
            response = await self.handler(called)
            called.status = response.status
            return response
        except asyncio.CancelledError:
            called.error = "client_disconnected"
            raise
        except Exception:
            called.error = "failed"
            raise
        finally:
            called.finish(101.0)

    async def ask(self, given: object, *headers: tuple[bytes, bytes], **options: object) -> Response:
        """A call to its end."""
        return await self.run(self.exchange(given, *headers, **options))

    async def quiet(self) -> None:
        """Until everything that was begun has ended."""
        while len(self.tasks):
            await asyncio.sleep(0)
