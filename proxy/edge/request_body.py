"""A request body that is too large to be held: relayed to the origin as it arrives, with the client slowed down to the
origin's pace.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from proxy.exchange.errors import UpstreamError
from proxy.exchange.model import Body

HIGH_BYTES = 1_048_576
LOW_BYTES = 262_144


class StreamedRequestBody(Body):
    """Filled by the connection, read by the pool. `on_read` is told how many bytes were taken."""

    def __init__(self, on_read: Callable[[int], None]) -> None:
        self._chunks: deque[bytes] = deque()
        self._on_read = on_read
        self._arrived = asyncio.Event()
        self._ended = False
        self._broken = False
        self.queued = 0

    def put(self, chunk: bytes) -> None:
        """The next piece came from the client."""
        self._chunks.append(chunk)
        self.queued += len(chunk)
        self._arrived.set()

    def end(self) -> None:
        """The client has sent everything."""
        self._ended = True
        self._arrived.set()

    def fail(self) -> None:
        """The client broke off."""
        self._broken = True
        self._arrived.set()

    async def read(self) -> bytes | None:
        while not self._chunks:
            if self._broken:
                raise UpstreamError("http_request_error", "the client broke off its request", status=400)
            if self._ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        chunk = self._chunks.popleft()
        self.queued -= len(chunk)
        self._on_read(len(chunk))
        return chunk

    async def aclose(self) -> None:
        self._chunks.clear()
        self.queued = 0
