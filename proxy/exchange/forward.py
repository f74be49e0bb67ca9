"""The one loop that moves a body from upstream to a client: it sends, then shows.

Rules: a tap that raises is dropped and the body goes on; backpressure is the sink's; whoever runs the loop closes the
body, and tells every tap exactly once how it ended.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from proxy.exchange.model import Body, Ending, Pours, Tap

log = structlog.get_logger(__name__)


class Sink(Protocol):
    """Where the body goes."""

    def write(self, chunk: bytes) -> bool:
        """Send a piece; False when the sink is full and `drain` must be awaited before the next."""
        ...

    async def drain(self) -> None:
        """Wait until the sink takes more."""
        ...


def show(taps: list[Tap], chunk: bytes) -> None:
    """Show a piece to the taps; those that raise are dropped, and told that nothing more comes."""
    for tap in tuple(taps):
        try:
            tap.feed(chunk)
        except Exception as failure:
            taps.remove(tap)
            log.warning("tap_failed", tap=type(tap).__name__, error=type(failure).__name__)
            show_end([tap], Ending.ABANDONED)


def show_end(taps: list[Tap], ending: Ending) -> None:
    """Tell the taps how the body ended. Each hears it once."""
    remaining = tuple(taps)
    taps.clear()
    for tap in remaining:
        try:
            tap.end(ending)
        except Exception as failure:
            log.warning("tap_failed", tap=type(tap).__name__, error=type(failure).__name__)


def pour(body: Body, take: Callable[[bytes], bool]) -> Awaitable[bool]:
    """See Pours.pour; of a body that can only be read, piece by piece."""
    return body.pour(take) if isinstance(body, Pours) else _read_into(body, take)


async def _read_into(body: Body, take: Callable[[bytes], bool]) -> bool:
    while (chunk := await body.read()) is not None:
        if not take(chunk):
            return False
    return True


class _Pump:
    """Sends a piece, then shows it. Keeps what went wrong: whoever calls it is in the middle of reading."""

    __slots__ = ("_failure", "_sink", "_taps")

    def __init__(self, taps: list[Tap], sink: Sink) -> None:
        self._taps = taps
        self._sink = sink
        self._failure: Exception | None = None

    def __call__(self, chunk: bytes) -> bool:
        try:
            room = self._sink.write(chunk)
            if self._taps:
                show(self._taps, chunk)
        except Exception as failure:
            self._failure = failure
            return False
        return room

    def check(self) -> None:
        """Raise what went wrong."""
        if self._failure is not None:
            raise self._failure


async def forward(body: Body, taps: list[Tap], sink: Sink) -> None:
    """Move the whole body. Raises what the body or the sink raises, and CancelledError when the client is gone."""
    ending = Ending.ABANDONED
    pump = _Pump(taps, sink)
    try:
        while not await pour(body, pump):
            pump.check()
            await sink.drain()
        ending = Ending.COMPLETE
    except Exception:
        ending = Ending.TRUNCATED
        raise
    finally:
        show_end(taps, ending)
        await body.aclose()
