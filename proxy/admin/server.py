"""The operators' listener: /livez, /readyz, /metrics, /v1/stats, POST /v1/cache/clear. Loopback unless told otherwise.

Nothing here shows a prompt, an answer or a credential. It is a listener of its own, so that probes and scrapes keep
working while clients fill the others.
"""

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from config.schema import split_address
from proxy.admin.views import Views


class AdminServer:
    """See the module."""

    def __init__(self, registry: CollectorRegistry, views: Views) -> None:
        self._registry = registry
        self._views = views
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/stats", self._stats)
        app.router.add_post("/v1/cache/clear", self._clear)
        app.router.add_get("/", self._index)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def start(self, address: str) -> str:
        """Listen; returns the address that was bound. Raises OSError."""
        host, port = split_address(address)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        bound = self._runner.addresses[0]
        return f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"

    async def stop(self) -> None:
        """Close the listener."""
        await self._runner.cleanup()

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        readiness = self._views.readiness()
        text = "ready\n" if readiness.ready else "not ready\n"
        return web.Response(
            text=text + "".join(f"{reason}\n" for reason in readiness.reasons), status=200 if readiness.ready else 503
        )

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = encode(self._registry)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _stats(self, request: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(self._views.stats()), content_type="application/json")

    async def _clear(self, request: web.Request) -> web.Response:
        cleared = await self._views.clear_cache()
        return web.Response(body=orjson.dumps({"cleared": cleared}), content_type="application/json")

    async def _index(self, request: web.Request) -> web.Response:
        return web.Response(text="Skinflint: /livez /readyz /metrics /v1/stats\n")
