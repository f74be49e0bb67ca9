"""An origin that is opened before its client has said anything, and listened to, in case that it speaks first."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from proxy.exchange.errors import UpstreamError
from proxy.tasks import TaskSet
from proxy.upstream.dial import Dialer
from proxy.upstream.liveness import notice_dead_peer

log = structlog.get_logger(__name__)

_CHUNK: Final = 65_536


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection to an origin. `greeting`: what was read from it already."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    greeting: bytes = b""


class Prelude:
    """One such origin. `on_open`: it is there; `on_word`: it speaks, or has ended. Whoever has it takes the connection,
    or closes it."""

    def __init__(self, host: str, port: int, on_open: Callable[[], None], on_word: Callable[[], None]) -> None:
        self._host = host
        self._port = port
        self._on_open = on_open
        self._on_word = on_word
        self._opened: Opened | None = None
        self._failure: UpstreamError | None = None
        self._is_taken = False
        self._task: asyncio.Task[None] | None = None

    def start(self, dialer: Dialer, tasks: TaskSet, dead_peer_s: float) -> None:
        """Open it."""
        self._task = tasks.spawn(self._listen(dialer, dead_peer_s), name="prelude")

    async def _listen(self, dialer: Dialer, dead_peer_s: float) -> None:
        try:
            reader, writer = await dialer.open(self._host, self._port)
        except UpstreamError as failure:
            self._failure = failure
            log.debug("prelude_failed", host=self._host, port=self._port, reason=failure.code)
            return
        self._opened = Opened(reader, writer)
        if self._is_taken:
            return
        greeting = b""
        try:
            notice_dead_peer(writer.transport, dead_peer_s)
            self._on_open()
            greeting = await reader.read(_CHUNK)
        except OSError:
            pass  # whoever relays is told again
        except asyncio.CancelledError:
            if not self._is_taken:
                self.close()
            raise
        self._opened, self._task = Opened(reader, writer, greeting), None
        self._on_word()

    def leads_to(self, host: str, port: int) -> bool:
        """Is it this origin?"""
        return (host, port) == (self._host, self._port)

    async def take(self) -> Opened | None:
        """The connection, waited for if it is being made; None if that has failed before. Nothing is told any more.
        Raises UpstreamError when it fails now."""
        task = self._task
        if task is not None and not task.done():
            self._is_taken = True
            if self._opened is not None:
                task.cancel()  # it reads, and two cannot
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                self.close()
                raise
            if self._failure is not None:
                raise self._failure
        opened, self._opened = self._opened, None
        self.close()
        return opened

    def close(self) -> None:
        """It is not wanted. Safe to call more than once."""
        self._is_taken = False
        self._on_open = self._on_word = _nothing
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.writer.close()


def _nothing() -> None:
    """What happens now concerns nobody."""
