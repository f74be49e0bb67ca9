"""A flight as messages: what one more of its readers sees, as frames that go out together.

Rules: it is a reader like all others; the flight's rules for those that lag hold for it. Little is held here: while
Redis is slow, what has come waits in the flight.
"""

import asyncio
import time
from typing import Final

from proxy.exchange.errors import ExchangeError
from proxy.exchange.flight import Flight
from proxy.exchange.frames import CHUNK_BYTES, Kind, at, end, failed, frame, head

_HELD_BYTES: Final = 524_288


class Feed:
    """Run it as a task; it joins the flight in its first turn."""

    def __init__(self, flight: Flight) -> None:
        self._flight = flight
        self._frames: list[bytes] = []
        self._held = 0
        self._position = 0  # in the body, of what has been read
        self._is_read = False
        self._begins = 0  # the same, of the first of the frames
        self._came = asyncio.Event()
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Read the flight to its end."""
        flight = self._flight
        try:
            response = await flight.join()
            self._say(head(response, flight.call, time.monotonic()))
            body = response.body
            if isinstance(body, bytes):
                await self._send(body)
            else:
                try:
                    while (chunk := await body.read()) is not None:
                        await self._send(chunk)
                finally:
                    await body.aclose()
        except ExchangeError as failure:
            self._is_read = True
            self._say(failed(failure, flight.call, time.monotonic()))
        else:
            self._is_read = True
            self._say(end(flight.call, time.monotonic()))

    @property
    def is_over(self) -> bool:
        """Everything has been taken."""
        return self._is_read and not self._frames

    async def take(self, wait_s: float) -> tuple[bytes, bool]:
        """The next message, and True; when nothing came for so long, one that says that we wait, and False."""
        if not self._frames:
            self._came.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._came.wait()
            except TimeoutError:
                return at(self._begins) + frame(Kind.WAITING), False
        message = b"".join((at(self._begins), *self._frames))
        self._frames.clear()
        self._held, self._begins = 0, self._position
        self._room.set()
        return message, True

    async def _send(self, chunk: bytes) -> None:
        for start in range(0, len(chunk), CHUNK_BYTES):
            piece = chunk[start : start + CHUNK_BYTES]
            self._say(frame(Kind.CHUNK, piece))
            self._position += len(piece)
            while self._held > _HELD_BYTES:
                self._room.clear()
                await self._room.wait()

    def _say(self, said: bytes) -> None:
        self._frames.append(said)
        self._held += len(said)
        self._came.set()
