"""The server: POST /mutate for the API server; GET /livez, /readyz and /metrics. All of it over TLS, on one port.

Rules: connections, bodies, reviews in hand and the time for a body are bounded. When there are too many, the one whose
body has been awaited for longest is turned away: an API server sends its bodies in one go, and must not wait for who
does not. Of a pod only its namespace, its name and what was decided are logged; a failure of ours is an answer of 500,
and then the webhook's failurePolicy says what becomes of the pod.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from config.schema import split_address
from proxy.injector.certs import Certificates
from proxy.injector.connections import MAX_CONNECTIONS, Connections
from proxy.injector.counts import Counts
from proxy.injector.patch import Plan
from proxy.injector.review import Answer, BadReviewError, review

log = structlog.get_logger(__name__)

MAX_BODY: Final = 4 * 1024 * 1024  # an API server takes objects of 3 MiB
MAX_IN_HAND: Final = 64  # reviews that are being read or answered
_BODY_S: Final = 5.0  # the API server itself waits no longer
_HANDSHAKE_S: Final = 5.0
_STOP_S: Final = 5.0

type _Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _GivenWayError(Exception):
    """Its place was needed."""


class Webhook:
    """See the module. `plan` may be changed while it serves."""

    def __init__(
        self, certificates: Certificates, plan: Plan, counts: Counts, most_connections: int = MAX_CONNECTIONS
    ) -> None:
        self.plan = plan
        self._most_connections = most_connections
        self._connections: Connections | None = None
        self._certificates = certificates
        self._counts = counts
        self._awaited: dict[asyncio.Timeout, None] = {}  # bodies, the oldest first
        self._is_ready = False
        self._server: asyncio.Server | None = None
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._counted, _guarded])
        app.router.add_post("/mutate", self._mutate)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_STOP_S)
        counts.expires(certificates.expires_at)

    async def start(self, address: str) -> str:
        """Listen there; returns the address that was bound. Raises OSError."""
        await self._runner.setup()
        assert self._runner.server is not None, "just set up"
        host, port = split_address(address)
        self._connections = Connections(self._runner.server, self._most_connections)
        self._server = await asyncio.get_running_loop().create_server(
            self._connections, host, port, ssl=self._certificates.context, ssl_handshake_timeout=_HANDSHAKE_S
        )
        self._is_ready = True
        bound = self._server.sockets[0].getsockname()
        return f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"

    def announce_stop(self) -> None:
        """No longer ready, but whoever still comes is answered."""
        self._is_ready = False

    async def stop(self) -> None:
        """Take no more connections, answer what is in hand, and close."""
        self._is_ready = False
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    @web.middleware
    async def _counted(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        assert self._connections is not None, "it is served"
        with self._connections.in_hand(request.protocol):
            return await handler(request)

    async def _mutate(self, request: web.Request) -> web.Response:
        began = time.perf_counter()
        try:
            return await self._answer(request)
        finally:
            self._counts.seconds.observe(time.perf_counter() - began)

    async def _answer(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return self._turned_away("malformed", 415, "the content type must be application/json")
        try:
            answer = review(await self._body(request), self.plan)
        except _GivenWayError:
            return self._turned_away("busy", 503, "too many reviews at once")
        except TimeoutError:
            return self._turned_away("malformed", 408, f"the body took more than {_BODY_S:g} s")
        except web.HTTPRequestEntityTooLarge:
            return self._turned_away("malformed", 413, f"the body may have {MAX_BODY} bytes")
        except BadReviewError as failure:
            return self._turned_away("malformed", 400, str(failure))
        except Exception:
            self._counts.reviews.labels("failed").inc()
            raise
        self._counts.reviews.labels(answer.outcome).inc()
        _tell(answer)
        return web.Response(body=answer.body, content_type="application/json")

    async def _body(self, request: web.Request) -> bytes:
        """Raises TimeoutError, and _GivenWayError when others needed the place."""
        if len(self._awaited) >= MAX_IN_HAND:
            oldest = next(iter(self._awaited))
            del self._awaited[oldest]
            oldest.reschedule(0.0)
        deadline = asyncio.timeout(_BODY_S)
        try:
            async with deadline:
                self._awaited[deadline] = None
                return await request.read()
        except TimeoutError as exc:
            if deadline not in self._awaited:
                raise _GivenWayError from exc
            raise
        finally:
            self._awaited.pop(deadline, None)

    def _turned_away(self, outcome: str, status: int, reason: str) -> web.Response:
        self._counts.reviews.labels(outcome).inc()
        log.warning("review_turned_away", status=status, reason=reason)
        response = web.Response(status=status, text=f"{reason}\n")
        if status in (408, 413, 415, 503):
            response.force_close()  # nobody reads the rest of the body
        return response

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        return web.Response(text="ready\n" if self._is_ready else "stopping\n", status=200 if self._is_ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._counts.registry), headers={"Content-Type": content_type})


@web.middleware
async def _guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """aiohttp would log the traceback, and with it what a pod has in it."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception as failure:
        frame = failure.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = f"{frame.tb_frame.f_code.co_name}:{frame.tb_lineno}" if frame is not None else ""
        log.error("review_failed", error=type(failure).__name__, where=where)
        return web.Response(status=500, text="internal error\n")


def _tell(answer: Answer) -> None:
    say = log.warning if answer.outcome == "refused" else log.info
    say("pod_reviewed", namespace=answer.namespace, pod=answer.name, decision=answer.outcome)
