"""What operators may ask for, in full: /livez, /readyz, /metrics, /v1/stats, POST /v1/cache/clear and
/v1/cache/invalidate; single entries are in entry_pages.py. guard.py says who may ask.

Nothing here shows a prompt, an answer or a credential. Importing this module imports aiohttp and Prometheus'
exposition: 10 MB and 0.15 s that a proxy which is only probed never pays (see server.py).
"""

import asyncio

import orjson
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from proxy.admin.answers import Answers
from proxy.admin.entry_pages import EntryPages
from proxy.admin.guard import guard
from proxy.admin.stock import Stock
from proxy.admin.views import said
from proxy.stores.rules import Kind


class Pages:
    """aiohttp's server without a socket of its own: connections are handed to it."""

    def __init__(self, answers: Answers, stock: Stock) -> None:
        self._answers = answers
        app = web.Application(middlewares=[guard(stock.token)])
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/stats", self._stats)
        app.router.add_post("/v1/cache/clear", self._clear)
        app.router.add_post("/v1/cache/invalidate", self._invalidate)
        EntryPages(stock).add_to(app)
        app.router.add_get("/", self._index)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def start(self) -> None:
        """Get ready to take connections."""
        await self._runner.setup()

    def take(self, transport: asyncio.Transport, seen: bytes) -> None:
        """Go on with a connection of which `seen` has been read."""
        server = self._runner.server
        assert server is not None, "taken before the start"
        protocol = server()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(seen)

    async def stop(self) -> None:
        """Close all connections."""
        await self._runner.cleanup()

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        status, text = said(await self._answers.readiness())
        return web.Response(text=text, status=status)

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = encode(await self._answers.metrics())
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _stats(self, request: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(await self._answers.stats()), content_type="application/json")

    async def _clear(self, request: web.Request) -> web.Response:
        cleared = await self._answers.clear_cache()
        fields: dict[str, object] = {"cleared": cleared.entries}
        if cleared.unreached:
            fields["unreached"] = cleared.unreached
        status = 503 if cleared.unreached else 200
        return _json(fields, status)

    async def _invalidate(self, request: web.Request) -> web.Response:
        """`{"tag": "nightly"}`, or another kind; `{"all": ""}` is everything."""
        try:
            kind, value = _wanted(await request.read())
            told = await self._answers.invalidate(kind, value)
        except ValueError as failure:
            return _json({"error": str(failure)}, 400)
        except TimeoutError as failure:
            return _json({"error": str(failure)}, 503)
        return _json({"stamp": told.rule.stamp, "unreached": told.unreached}, 503 if told.unreached else 200)

    async def _index(self, request: web.Request) -> web.Response:
        return web.Response(text="Skinflint: /livez /readyz /metrics /v1/stats\n")


def _wanted(body: bytes) -> tuple[Kind, str]:
    """Raises ValueError, saying what is allowed."""
    kinds = ", ".join(kind.value for kind in Kind)
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        given = None
    match list(given.items()) if isinstance(given, dict) else []:
        case [(str(kind), str(value))] if kind in list(Kind):
            return Kind(kind), value
        case _:
            raise ValueError(
                f'the body must be a JSON object of one kind and its value, as {{"tag": "a"}}; kinds: {kinds}'
            )


def _json(fields: dict[str, object], status: int) -> web.Response:
    return web.Response(body=orjson.dumps(fields), status=status, content_type="application/json")
