"""One conversation between two workers: frames in and out of a stream, each wait with a deadline."""

import asyncio
from dataclasses import dataclass

from proxy.workers.frames import HEADER, MAX_FRAME_BYTES, Kind, PeerError, frame


@dataclass(frozen=True, slots=True)
class Patience:
    """How long workers wait for one another, in seconds. Both are processes of one machine: only one that is stopped,
    or a machine that stands still, needs more."""

    answer_s: float = 10.0  # for a question, and for its answer
    presence_s: float = 5.0  # who has nothing else to say says so
    silence_s: float = 20.0  # who has said nothing for so long counts as gone


class Conversation:
    """A connection to another worker. Close it in `finally`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def hear(self, silence_s: float) -> tuple[Kind, bytes]:
        """The next frame that says something. Raises PeerError when the other one is gone, is not understood, or says
        nothing, not even that it waits, for so long."""
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    length, number = HEADER.unpack(await self._reader.readexactly(HEADER.size))
                    if length > MAX_FRAME_BYTES:
                        raise PeerError("a frame too long")
                    payload = await self._reader.readexactly(length) if length else b""
                kind = Kind(number)
            except (OSError, EOFError, TimeoutError, ValueError) as failure:
                raise PeerError("nothing to be understood") from failure
            if kind is not Kind.WAITING:
                return kind, payload

    def say(self, said: bytes) -> None:
        """Send a frame."""
        self._writer.write(said)

    async def heard(self, deadline_s: float) -> None:
        """Wait until the other one has room for more. Raises PeerError."""
        if not self._writer.transport.get_write_buffer_size():
            return
        try:
            async with asyncio.timeout(deadline_s):
                await self._writer.drain()
        except (OSError, TimeoutError) as failure:
            raise PeerError("nobody listens") from failure

    async def until_left(self, every_s: float) -> None:
        """Return when the other one hangs up. Meanwhile say that we are there, whenever nothing else is to be said."""
        while True:
            try:
                async with asyncio.timeout(every_s):
                    await self._reader.read(1)
            except TimeoutError:
                if not self._writer.transport.get_write_buffer_size():
                    self.say(frame(Kind.WAITING))
            except OSError:
                return
            else:
                return

    def close(self) -> None:
        """Hang up; what was said is still sent."""
        self._writer.close()

    def abort(self) -> None:
        """Hang up at once."""
        self._writer.transport.abort()
