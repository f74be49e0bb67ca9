"""From a client's request to an exchange and back: runs the chain, writes the answer, says what went wrong.

Rules: one catch-all (`serve`), so that no exception leaves a client waiting; a failure before the head becomes an
answer in the provider's own shape, a failure after it breaks the message off visibly; every exchange is finished once.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from config.schema import Settings
from proxy.access.credentials import Credentials
from proxy.access.gate import OPEN, Gate
from proxy.access.reach import EVERYWHERE, Reach
from proxy.edge.admission import DeniedError, admitted
from proxy.edge.answers import answer, plain_error, send_streamed, send_whole
from proxy.edge.connection import ClientConnection
from proxy.edge.destination import MisdirectedError, request_for
from proxy.edge.leaf import LeafIssuer
from proxy.edge.patience import Looks
from proxy.edge.pins import PinMemory
from proxy.edge.refusals import Refusals
from proxy.edge.short_way import ShortWay, remember
from proxy.edge.stream import ClientStream
from proxy.edge.upgrade import run_upgrade
from proxy.exchange.chain import Handler
from proxy.exchange.errors import ExchangeError, Refusal
from proxy.exchange.headers import first
from proxy.exchange.model import Body, Exchange
from proxy.exchange.record import Outcome
from proxy.exchange.repeats import Repeats
from proxy.metrics import Metrics
from proxy.providers.registry import Registry
from proxy.tasks import TaskSet
from proxy.upstream.pool import Pool
from proxy.wire.events import RequestHead, WireLimits
from proxy.wire.http1 import Http1Server
from proxy.wire.http1_head import FieldMemory

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one exchange runs on: a settings snapshot and everything built from it. Replaced as a whole by a reload."""

    settings: Settings
    registry: Registry
    handler: Handler
    passing: Handler  # only identifies and meters: for what is relayed
    pool: Pool
    repeats: Repeats | None = None  # None: every call goes through the chain
    reach: Reach = EVERYWHERE
    gate: Gate = OPEN


class Bridge:
    """What all client connections share."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        *,
        metrics: Metrics,
        leaves: LeafIssuer,
        pins: PinMemory,
        refusals: Refusals | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._snapshot = snapshot
        self._metrics = metrics
        self.leaves = leaves
        self.pins = pins
        self._wall_clock = wall_clock
        self.tasks = TaskSet()
        self.connections: set[ClientConnection] = set()
        self.looks = Looks()
        self.is_draining = False  # connections are asked to end: see draining.py
        self.refusals = refusals or Refusals(metrics, time.monotonic)
        self._known_fields = FieldMemory()
        self._origin_id = secrets.token_hex(5)
        self._sequence = itertools.count()
        self.short_way = ShortWay(snapshot, wall_clock, self._new_id)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._snapshot().settings

    @property
    def registry(self) -> Registry:
        """The providers in force."""
        return self._snapshot().registry

    @property
    def pool(self) -> Pool:
        """The pool in force."""
        return self._snapshot().pool

    @property
    def reach(self) -> Reach:
        """What may be asked for."""
        return self._snapshot().reach

    @property
    def gate(self) -> Gate:
        """Who may ask."""
        return self._snapshot().gate

    def wire_limits(self) -> WireLimits:
        """The codecs' limits, from the settings."""
        limits = self.settings.limits
        return WireLimits(max_head_bytes=limits.max_head_bytes, max_concurrent_streams=limits.max_concurrent_streams)

    def http1(self) -> Http1Server:
        """A codec for one connection."""
        codec = Http1Server(self.wire_limits(), self._known_fields)
        if self.is_draining:
            codec.shutdown()
        return codec

    def count_connection(self, kind: str) -> None:
        """A client connection became `kind`: intercepted, tunnelled, rejected, ..."""
        self._metrics.client_connections.labels(kind).inc()

    def count_bad_request(self, status: int) -> None:
        """A client broke the protocol."""
        self._metrics.bad_requests.labels(str(status)).inc()

    @staticmethod
    def is_grpc(head: RequestHead) -> bool:
        """gRPC is no business of ours: it is relayed as it is."""
        return head.http_version == "2" and (first(head.headers, b"content-type") or b"").startswith(
            b"application/grpc"
        )

    # -- one exchange

    def begin(self, stream: ClientStream, body: bytes | Body) -> asyncio.Task[None] | None:
        """Run a request as a task. One that came in pieces, and repeats a hit, is answered at once: None then."""
        connection = stream.connection
        if stream.key is None and isinstance(body, bytes):
            stream.key = self.short_way.key(connection, stream.head, body)
            if stream.key is not None and self.short_way.replay(connection, stream.key):
                stream.is_answering = True
                connection.request_done(stream)
                return None
        return self.tasks.spawn(self.serve(stream, body), name="exchange")

    async def serve(self, stream: ClientStream, body: bytes | Body) -> None:
        """Run one request to its end. Never raises but CancelledError."""
        connection = stream.connection
        snapshot = self._snapshot()
        exchange: Exchange | None = None
        try:
            request = request_for(stream.head, connection.destination, body)
            exchange = Exchange(
                id=self._new_id(),
                request=request,
                settings=snapshot.settings,
                client=connection.peer,
                received_at=time.monotonic(),
                wall_time=self._wall_clock(),
                tenant=admitted(connection, stream.head, request),
            )
            if stream.head.upgrade or self.is_grpc(stream.head):
                await run_upgrade(stream, exchange, snapshot.pool, snapshot.passing)
                return
            response = await snapshot.handler(exchange)
            exchange.status = response.status
            if isinstance(response.body, bytes):
                send_whole(stream, exchange, response, response.body)
                if exchange.replayed is not None and snapshot.repeats is not None and isinstance(body, bytes):
                    remember(snapshot.repeats, stream, body, exchange, response)
            else:
                body = b"" if isinstance(body, bytes) else body
                exchange.let_body_go()
                await send_streamed(stream, exchange, response, response.body)
        except MisdirectedError as failure:
            self._misdirected(stream, failure)
        except ExchangeError as failure:
            self._failed(stream, exchange, failure)
        except asyncio.CancelledError:
            if exchange is not None:
                exchange.error = exchange.error or "client_disconnected"
            raise
        except Exception as failure:
            log.error("exchange_failed", error=type(failure).__name__, exc_info=failure)
            internal = ExchangeError("internal_error", "Skinflint failed to handle this call", status=500)
            self._failed(stream, exchange, internal)
        finally:
            if not isinstance(body, bytes):
                await body.aclose()
            if exchange is not None:
                exchange.response_bytes = exchange.response_bytes or stream.sent_bytes
                exchange.finish(time.monotonic())
            connection.request_done(stream)

    def _misdirected(self, stream: ClientStream, failure: MisdirectedError) -> None:
        """It is no exchange: it cannot be for where it was sent, or may not go there."""
        if isinstance(failure, DeniedError):
            denied = failure.denied
            shape = plain_error(denied.status, denied.error, denied.message)
            answer(stream, denied.status, shape, fields=denied.fields)
            return
        self.count_bad_request(failure.status)
        answer(stream, failure.status, plain_error(failure.status, "misdirected_request", str(failure)))

    def _failed(self, stream: ClientStream, exchange: Exchange | None, failure: ExchangeError) -> None:
        """Say no in the provider's own words; after the head, break the message off."""
        if exchange is not None:
            exchange.error = failure.code
            if isinstance(failure, Refusal):
                exchange.outcome = Outcome.REFUSED
        if stream.is_answering:
            codec = stream.connection.codec
            if codec is not None and not stream.is_gone:
                codec.abort(stream.id)
                stream.connection.flush()
            return
        provider = exchange.provider if exchange is not None else None
        shape = (
            provider.error(failure.status, failure.code, failure.message)
            if provider is not None
            else plain_error(failure.status, failure.code, failure.message)
        )
        if exchange is not None:
            exchange.status = failure.status
        answer(stream, failure.status, shape, failure.code)

    def _new_id(self) -> str:
        """In order of time; two processes that share a ledger never give the same one."""
        return f"{time.time_ns() // 1_000_000:012x}{self._origin_id}{next(self._sequence) & 0xFFFFFF:06x}"

    # -- the whole edge

    def keep_only(self, tokens: Credentials) -> None:
        """Connections that came with a token that is not good any more end with what is under way on them."""
        for connection in list(self.connections):
            if connection.tenant.proof and connection.tenant.proof not in tokens:
                connection.wind_down()
                if connection.is_quiet:
                    connection.leave()
