"""How a proxy comes to its end: in an order that loses no call.

Not ready → linger (clients still come, since balancers learn of it late) → listeners closed → drain. The limits add up
to what whoever stops the proxy has to grant it. `hurry` cuts all waiting short, and what is under way off.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from config.schema import Drain
from proxy.edge.draining import pause
from proxy.edge.master import Edge

log = structlog.get_logger(__name__)


class Sharing(Protocol):
    """Calls that other processes follow."""

    def refuse(self) -> None:
        """Take no followers any more."""
        ...

    async def stop(self, timeout_s: float) -> int:
        """Let those that are there come to an end; returns how many were cut off."""
        ...


async def wind_down(edge: Edge, limits: Drain, shared: Sequence[Sharing], hurry: asyncio.Event) -> None:
    """All of it. Returns when no client is left."""
    log.info("stopping", linger_s=limits.linger_s, timeout_s=limits.timeout_s)
    edge.keep()
    await pause(limits.linger_s, hurry)
    await edge.stop_accepting()
    began = time.monotonic()
    for each in shared:
        each.refuse()
    cut_off = await edge.drain(limits, hurry)
    for each in shared:
        left_s = limits.timeout_s - (time.monotonic() - began)
        cut_off += await each.stop(0.0 if hurry.is_set() else max(0.0, left_s))
    if cut_off:
        log.warning("exchanges_cut_off", count=cut_off, after_s=round(time.monotonic() - began, 1))
    await edge.stop()


class Closing:
    """The time for flushing and closing what has been opened, shared out."""

    def __init__(self, within_s: float) -> None:
        self._until = time.monotonic() + within_s

    def left_s(self, at_most: float) -> float:
        """What is left of it; a moment in any case."""
        return max(0.1, min(at_most, self._until - time.monotonic()))
