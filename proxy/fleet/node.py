"""One server, as the link knows it: two lanes to it, and what is logged of its outages.

Rules: the quick lane is for what is small and waited for, the bulk lane for whole entries, so that no large write
stands in front of a read. An outage is logged when it begins, once more for each reason that was not known yet, and
when it is over.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from proxy.fleet.connection import Connection
from proxy.fleet.lane import AWAY, Counts, Lane

log = structlog.get_logger(__name__)

_MAX_REASONS: Final = 16  # logged of one outage


class Outage:
    """One lane's. `lane` names it in the log."""

    def __init__(self, server: str, lane: str) -> None:
        self._server = server
        self._lane = lane
        self._since = 0.0
        self._reasons: set[str] = set()

    def changed(self, reason: str | None) -> None:
        """It fell for this reason, or it is back."""
        if reason is None:
            if self._reasons:
                self._reasons.clear()
                seconds = round(time.monotonic() - self._since, 1)
                log.info("redis_back", server=self._server, lane=self._lane, after_s=seconds)
            return
        if reason in self._reasons or len(self._reasons) >= _MAX_REASONS:
            return
        if not self._reasons:
            self._since = time.monotonic()
        self._reasons.add(reason)
        log.warning("redis_down", server=self._server, lane=self._lane, reason=reason)


class Node:
    """`name` is for the log. `on_fall`: told when a lane falls, or a probe of it fails."""

    def __init__(
        self,
        name: str,
        dial: Callable[[], Awaitable[Connection]],
        counts: Counts,
        on_fall: Callable[[], None],
        *,
        is_away_on: frozenset[str] = AWAY,
        probe_timeout_s: float,
    ) -> None:
        self._on_fall = on_fall
        self.asked_at = 0.0  # when a redirect last led here
        self.quick, self.bulk = (
            Lane(
                dial,
                counts,
                self._changed(Outage(name, lane)),
                holds_back_writes=lane == "bulk",
                is_away_on=is_away_on,
                probe_timeout_s=probe_timeout_s,
            )
            for lane in ("quick", "bulk")
        )

    def _changed(self, outage: Outage) -> Callable[[str | None], None]:
        def changed(reason: str | None) -> None:
            outage.changed(reason)
            if reason is not None:
                self._on_fall()

        return changed

    @property
    def is_up(self) -> bool:
        """Reads are answered."""
        return self.quick.is_up

    @property
    def connections(self) -> int:
        """How many there are."""
        return self.quick.is_connected + self.bulk.is_connected

    async def close(self) -> None:
        """End both lanes."""
        await asyncio.gather(self.quick.close(), self.bulk.close())
