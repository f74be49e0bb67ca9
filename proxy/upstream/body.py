"""A response body on its way in from pyreqwest.

Deadlines cost nothing a piece: a body notes when it began to wait, and the pool looks at all bodies once a second. A
body that waited too long has its reader cancelled, and `read` turns that into an UpstreamError, as asyncio's own
timeout does.
"""

import asyncio
import time
from collections.abc import Callable

from pyreqwest.exceptions import PyreqwestError, RequestTimeoutError
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response as WireResponse

from proxy.exchange.errors import UpstreamError


class UpstreamBody:
    """The pieces of one answer, as they arrive."""

    __slots__ = ("_closed", "_deadline", "_expired", "_on_close", "_reader", "_request", "_task", "_waiting_since")

    def __init__(
        self,
        request: StreamRequest,
        response: WireResponse,
        *,
        deadline: float,
        on_close: Callable[["UpstreamBody"], None],
    ) -> None:
        self._request = request
        self._reader = response.body_reader
        self._deadline = deadline
        self._on_close = on_close
        self._task: asyncio.Task[object] | None = None
        self._waiting_since = 0.0
        self._expired = ""
        self._closed = False

    async def read(self) -> bytes | None:
        """The next piece; None at the end. Raises UpstreamError when the origin breaks off or is too slow."""
        if self._closed:
            raise UpstreamError("connection_terminated", "the answer was given up")
        task = self._task = asyncio.current_task()
        self._waiting_since = time.monotonic()
        try:
            while True:
                piece = await self._reader.read_chunk()
                # pyreqwest loses a cancellation when the piece was already there: it must not be lost for good, or an
                # answer goes on that nobody reads.
                if task is not None and task.cancelling():
                    raise asyncio.CancelledError  # noqa: TRY301 - to the handler below, which knows why
                if piece is None:
                    return None
                if chunk := piece.to_bytes():
                    return chunk
        except RequestTimeoutError as failure:  # the deadline for the whole call, kept by pyreqwest as well
            raise UpstreamError("http_response_timeout", "the origin stopped sending", status=504) from failure
        except PyreqwestError as failure:
            raise UpstreamError("http_response_incomplete", "the origin broke off its answer") from failure
        except asyncio.CancelledError:
            if self._expired and self._task is not None:
                self._task.uncancel()
                raise UpstreamError(self._expired, "the origin stopped sending", status=504) from None
            raise
        finally:
            self._waiting_since = 0.0
            self._task = None

    def check(self, now: float, idle_s: float) -> None:
        """Called by the pool's clock."""
        if self._expired or self._task is None:
            return
        if now > self._deadline:
            self._expired = "http_response_timeout"
        elif self._waiting_since and now - self._waiting_since > idle_s:
            self._expired = "connection_read_timeout"
        else:
            return
        self._task.cancel()

    async def aclose(self) -> None:
        """Give the rest up: an HTTP/2 stream is reset, an HTTP/1.1 connection closed, unless the end was reached."""
        if self._closed:
            return
        self._closed = True
        self._on_close(self)
        await self._request.__aexit__(None, None, None)
