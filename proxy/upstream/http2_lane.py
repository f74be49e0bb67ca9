"""The lane of an HTTP/2 origin: requests become calls on one connection."""

from collections.abc import Callable
from typing import Final

from config.schema import Upstream
from proxy.exchange.errors import UpstreamError
from proxy.exchange.headers import HOP_BY_HOP, HeaderList
from proxy.exchange.model import Body, Request, Response
from proxy.tasks import TaskSet
from proxy.upstream.http2 import Http2Connection
from proxy.upstream.http2_call import Http2Call
from proxy.upstream.origin import Lane
from proxy.wire.hpack_encoder import UnsendableError

NOT_RELAYED: Final = HOP_BY_HOP | {b"content-length", b"host"}


class Http2Lane(Lane):
    """See the module."""

    def __init__(self, settings: Upstream, connection: Http2Connection, tasks: TaskSet) -> None:
        super().__init__()
        self._settings = settings
        self._connection = connection
        self._tasks = tasks

    @property
    def is_usable(self) -> bool:
        return self._connection.is_usable

    @property
    def is_open(self) -> bool:
        return not self._connection.is_closed

    @property
    def stream_limit(self) -> int | None:
        return self._connection.stream_limit

    async def send(self, request: Request, *, buffered: bool, done: Callable[[], None]) -> Response:
        settings, body = self._settings, request.body
        call = Http2Call(
            self._connection,
            method=request.method,
            is_whole=buffered,
            first_byte_s=settings.first_byte_timeout_s,
            total_s=settings.total_timeout_s,
            on_close=done,
        )
        try:
            self._connection.open(call, _fields(request), body if isinstance(body, bytes) else None)
        except UnsendableError as failure:
            done()
            raise UpstreamError(
                "http_request_error", "the request cannot be sent as it is", status=400, sent=False
            ) from failure
        if isinstance(body, bytes):
            return await call.response()
        upload = self._tasks.spawn(self._upload(call, body), name="upload")
        call.on_over(upload.cancel)
        return await call.response()

    async def _upload(self, call: Http2Call, body: Body) -> None:
        try:
            while (piece := await body.read()) is not None:
                self._connection.send(call, piece, is_end=False)
                await call.room()
                if call.is_over:
                    return
            self._connection.send(call, b"", is_end=True)
        except UpstreamError as failure:
            call.give_up(failure)

    def check(self, now: float) -> None:
        self._connection.check(now, self._settings.idle_timeout_s)

    async def close(self) -> None:
        self._connection.close()


def _fields(request: Request) -> HeaderList:
    return [
        (b":method", request.method.encode()),
        (b":scheme", request.scheme.encode()),
        (b":authority", request.authority.encode()),
        (b":path", request.target.encode("latin-1")),
        *[field for field in request.headers if field[0] not in NOT_RELAYED],
    ]
