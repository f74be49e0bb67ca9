"""The lane of an HTTP/1.1 origin, and of all that is reached without TLS: pyreqwest, which keeps connections alive.

Answers to calls that do not stream can be read in one go, which costs half. Closing waits for pyreqwest's own
shutdown: an interpreter that exits before it, aborts.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Final

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.proxy import ProxyBuilder
from pyreqwest.request import RequestBuilder

from config.schema import Upstream
from proxy.exchange.errors import UpstreamError
from proxy.exchange.model import Body, Request, Response
from proxy.upstream.body import UpstreamBody
from proxy.upstream.failures import translate
from proxy.upstream.fields import fields_of, text_of
from proxy.upstream.http2_lane import NOT_RELAYED
from proxy.upstream.origin import Lane

_SLACK_S: Final = 1.0


class Http1Lane(Lane):
    """See the module."""

    def __init__(
        self, settings: Upstream, host: str, address: tuple[str, int] | None, usable_s: float | None = None
    ) -> None:
        """`usable_s`: so long new calls may go to this address; None: as long as it is in use."""
        super().__init__()
        self._usable_until = None if usable_s is None else time.monotonic() + usable_s
        self._is_usable = True
        self._settings = settings
        self._client = _client(settings, host, address)
        self._bodies: set[UpstreamBody] = set()
        self._has_answered = False

    @property
    def is_usable(self) -> bool:
        return self._is_usable

    @property
    def is_open(self) -> bool:
        return self._has_answered

    @property
    def stream_limit(self) -> int | None:
        return None

    async def send(self, request: Request, *, buffered: bool, done: Callable[[], None]) -> Response:
        try:
            return await (self._consume(request, done) if buffered else self._stream(request, done))
        except PyreqwestError as failure:
            done()
            raise translate(failure) from failure
        except TimeoutError as failure:
            done()
            raise UpstreamError("http_response_timeout", "the origin took too long to answer", status=504) from failure
        except BaseException:
            done()
            raise

    async def _consume(self, request: Request, done: Callable[[], None]) -> Response:
        async with asyncio.timeout(self._settings.first_byte_timeout_s):
            answer = await self._prepare(request).build().send()
            body = (await answer.bytes()).to_bytes()
        self._has_answered = True
        headers, length = fields_of(answer)
        status = answer.status
        done()
        return Response(status, headers, body, content_length=length)

    async def _stream(self, request: Request, done: Callable[[], None]) -> Response:
        outgoing = self._prepare(request).streamed_read_buffer_limit(0).build_streamed()
        async with asyncio.timeout(self._settings.first_byte_timeout_s):
            answer = await outgoing.__aenter__()
        self._has_answered = True
        try:
            headers, length = fields_of(answer)
        except BaseException:
            await outgoing.__aexit__(None, None, None)
            raise

        def closed(body: UpstreamBody) -> None:
            self._bodies.discard(body)
            done()

        deadline = time.monotonic() + self._settings.total_timeout_s
        body = UpstreamBody(outgoing, answer, deadline=deadline, on_close=closed)
        self._bodies.add(body)
        return Response(answer.status, headers, body, content_length=length)

    def _prepare(self, request: Request) -> RequestBuilder:
        url = f"{request.scheme}://{request.authority}{request.target}"
        fields = [
            (name.decode("latin-1"), text_of(value)) for name, value in request.headers if name not in NOT_RELAYED
        ]
        try:
            builder = self._client.request(request.method, url).headers(fields)
            if not isinstance(request.body, bytes):
                return builder.body_stream(_pieces(request.body))
            if request.body or request.method in ("POST", "PUT", "PATCH"):
                return builder.body_bytes(request.body)
        except (PyreqwestError, ValueError) as failure:
            raise UpstreamError(
                "http_request_error", "the request cannot be sent as it is", status=400, sent=False
            ) from failure
        return builder

    def check(self, now: float) -> None:
        if self._usable_until is not None and now > self._usable_until:
            self._is_usable = False
        for body in list(self._bodies):
            body.check(now, self._settings.idle_timeout_s)

    async def close(self) -> None:
        for body in list(self._bodies):
            await body.aclose()
        await self._client.close()


def _client(settings: Upstream, host: str, address: tuple[str, int] | None) -> Client:
    """Certificates are always verified; nothing is decoded, followed or added."""
    builder = (
        ClientBuilder()
        .gzip(False)
        .brotli(False)
        .zstd(False)
        .deflate(False)
        .follow_redirects(False)
        .referer(False)
        .no_proxy()
        .timeout(timedelta(seconds=settings.total_timeout_s))
        # Our own deadlines come first and answer the client; but only this one takes a silent call off its connection,
        # which would stay open for as long as a whole call may take.
        .read_timeout(timedelta(seconds=max(settings.first_byte_timeout_s, settings.idle_timeout_s) + _SLACK_S))
        .connect_timeout(timedelta(seconds=settings.connect_timeout_s))
        .pool_idle_timeout(timedelta(seconds=settings.keepalive_s))
        .tcp_nodelay(True)
        .tcp_keepalive(timedelta(seconds=30))
    )
    for path in settings.extra_ca:
        builder = builder.add_root_certificate_pem(path.read_bytes())
    if settings.proxy is not None:
        builder = builder.proxy(ProxyBuilder.all(settings.proxy).no_proxy(settings.no_proxy))
    if address is not None:
        builder = builder.resolve(host, *address)
    return builder.build()


async def _pieces(body: Body) -> AsyncIterator[bytes]:
    while (piece := await body.read()) is not None:
        yield piece
