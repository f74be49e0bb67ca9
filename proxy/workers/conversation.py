"""One conversation between two workers: frames in and out of a Unix socket.

Rules: each wait has a deadline; a frame that is there already costs none. Reading stops while much is unread, so that a
reader's pace becomes the writer's. What had come before the other one hung up is still heard.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from proxy.exchange.frames import HEADER, KINDS, MAX_FRAME_BYTES, Kind, PeerError, frame

_UNREAD_BYTES: Final = 262_144  # above it reading stops, until half of it has been heard


@dataclass(frozen=True, slots=True)
class Patience:
    """How long workers wait for one another, in seconds. Both are processes of one machine: only one that is stopped,
    or a machine that stands still, needs more."""

    answer_s: float = 10.0  # for a question, and for its answer
    presence_s: float = 5.0  # who has nothing else to say says so
    silence_s: float = 20.0  # who has said nothing for so long counts as gone


class Conversation(asyncio.Protocol):
    """A connection to another worker. Close it in `finally`. `begun` is called when it is there."""

    def __init__(self, begun: Callable[["Conversation"], None] | None = None) -> None:
        self._begun = begun
        self._transport: asyncio.Transport
        self._frames: deque[tuple[Kind, bytes]] = deque()
        self._rest = b""  # of a frame that has not come whole
        self._unread = 0
        self._is_reading = True
        self._is_writable = True
        self._left = asyncio.Event()  # nothing more comes, or is understood
        self._hearing: asyncio.Future[None] | None = None
        self._saying: asyncio.Future[None] | None = None

    # -- what happens

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._begun is not None:
            self._begun(self)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        at, size = 0, len(data)
        while size - at >= HEADER.size:
            length, number = HEADER.unpack_from(data, at)
            kind = KINDS.get(number)
            if kind is None or length > MAX_FRAME_BYTES:
                self._leave()
                self._transport.abort()
                break
            start, end = at + HEADER.size, at + HEADER.size + length
            if end > size:
                break
            self._frames.append((kind, data[start:end]))
            self._unread += length
            at = end
        self._rest = data[at:]
        if self._unread > _UNREAD_BYTES and self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()
        _wake(self._hearing)

    def eof_received(self) -> None:
        self._leave()

    def connection_lost(self, failure: Exception | None) -> None:
        self._leave()

    def pause_writing(self) -> None:
        self._is_writable = False

    def resume_writing(self) -> None:
        self._is_writable = True
        _wake(self._saying)

    def _leave(self) -> None:
        self._left.set()
        _wake(self._hearing)
        _wake(self._saying)

    # -- what is done

    async def hear(self, silence_s: float) -> tuple[Kind, bytes]:
        """The next frame that says something. Raises PeerError when the other one is gone, is not understood, or says
        nothing, not even that it waits, for so long."""
        while True:
            while self._frames:
                kind, payload = self._frames.popleft()
                self._unread -= len(payload)
                if not self._is_reading and self._unread < _UNREAD_BYTES // 2:
                    self._is_reading = True
                    self._transport.resume_reading()
                if kind is not Kind.WAITING:
                    return kind, payload
            if self._left.is_set():
                raise PeerError("gone, or not understood")
            self._hearing = asyncio.get_running_loop().create_future()
            await _within(silence_s, self._hearing)

    def say(self, said: bytes) -> None:
        """Send a frame."""
        if not self._left.is_set():
            self._transport.write(said)

    async def heard(self, deadline_s: float) -> None:
        """Wait until the other one has room for more. Raises PeerError."""
        if not self._is_writable and not self._left.is_set():
            self._saying = asyncio.get_running_loop().create_future()
            await _within(deadline_s, self._saying)
        if self._left.is_set():
            raise PeerError("gone")

    async def until_left(self, every_s: float) -> None:
        """Return when the other one hangs up. Meanwhile say that we are there, whenever nothing else is to be said."""
        while not self._left.is_set():
            try:
                async with asyncio.timeout(every_s):
                    await self._left.wait()
            except TimeoutError:
                if not self._transport.get_write_buffer_size():
                    self.say(frame(Kind.WAITING))

    def about(self, name: str) -> object:
        """What the transport knows of itself under this name."""
        return self._transport.get_extra_info(name)

    def close(self) -> None:
        """Hang up; what was said is still sent."""
        self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        self._transport.abort()


async def _within(deadline_s: float, awaited: asyncio.Future[None]) -> None:
    timer = asyncio.get_running_loop().call_later(deadline_s, _expire, awaited)
    try:
        await awaited
    finally:
        timer.cancel()


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


def _expire(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_exception(PeerError("silent"))
