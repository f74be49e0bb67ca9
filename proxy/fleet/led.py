"""The flights that this replica leads, for the others: their claims, and their replays where somebody follows.

Rules: a claim is kept as long as its flight is joined, and given back when the answer is in the cache. One that another
has taken over meanwhile (it knows of a later invalidation, or took us for dead) is let go; who follows us already goes
on doing so.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from config.caching import Collapse
from proxy.exchange.flight import Flight
from proxy.fleet.claims import Claim, Claims, Names
from proxy.fleet.errors import RedisUnavailableError
from proxy.fleet.leading import MAX_FOLLOWERS, Pace, Replay
from proxy.fleet.link import RedisLink
from proxy.fleet.notes import Note
from proxy.stores.sealing.sealer import Sealer
from proxy.tasks import TaskSet

log = structlog.get_logger(__name__)

MAX_LED: Final = 16_384
_AT_ONCE: Final = 256  # renewals
_LAST_WORDS_S: Final = 1.0


@dataclass(slots=True, eq=False)
class Led:
    """A flight that this replica leads, or is about to. `is_claimed`: its claim is to be kept."""

    flight: Flight
    key: bytes = field(repr=False)
    claim: Claim
    names: Names
    is_claimed: bool = True
    replay: Replay | None = None
    replaying: asyncio.Task[None] | None = None

    def may_be_followed(self, replica: str, *, is_new_welcome: bool) -> bool:
        """There is room for this one, and what it needs is there, or may be in the stream."""
        flight, replay = self.flight, self.replay
        if replay is not None and self.replaying is not None:
            return replica in replay.followers or len(replay.followers) < MAX_FOLLOWERS
        if flight.is_over and flight.failure() is not None:
            return False  # it may have been given up because nobody waited
        return is_new_welcome and flight.is_replayable


class LedFlights:
    """See the module. `written` returns when nothing is being stored under a fingerprint any more; `refuse` tells a
    replica that a flight of this one (by its number and fingerprint) is not to be had."""

    def __init__(
        self,
        link: RedisLink,
        claims: Claims,
        settings: Collapse,
        sealer: Sealer,
        *,
        written: Callable[[bytes], Awaitable[None]],
        refuse: Callable[[str, int, bytes], None],
    ) -> None:
        self._link = link
        self._claims = claims
        self._settings = settings
        self._sealer = sealer
        self._written = written
        self._refuse = refuse
        self._pace = Pace.of(settings.lease_s)
        self._led: dict[int, Led] = {}
        self._of: dict[Flight, Led] = {}
        self._disturbed_at = time.monotonic()
        self._is_stopping = False
        self._landing = TaskSet()
        self._replays = TaskSet()

    @property
    def has_room(self) -> bool:
        """There may be more."""
        return len(self._led) < MAX_LED and not self._is_stopping

    @property
    def claimed(self) -> int:
        """How many claims are held."""
        return sum(led.is_claimed for led in self._led.values())

    @property
    def followed(self) -> int:
        """How many flights are replayed."""
        return len(self._replays)

    def add(self, led: Led) -> None:
        """Before it is claimed: whoever finds the claim may say so before the answer to it has been read here."""
        self._led[led.claim.number] = self._of[led.flight] = led

    def discard(self, led: Led) -> None:
        """Another one leads."""
        del self._led[led.claim.number], self._of[led.flight]

    # -- the end of a flight

    def landed(self, flight: Flight) -> None:
        """Nobody joins it any more."""
        if (led := self._of.pop(flight, None)) is not None and not self._is_stopping:
            self._landing.spawn(self._land(led), name="fleet landing")

    async def _land(self, led: Led) -> None:
        try:
            async with asyncio.timeout(self._settings.lease_s):
                await self._written(led.key)
        except TimeoutError:
            log.info("fleet_landing_late", exchange=led.flight.exchange.id)
        await self._release(led)
        while led.replaying is not None:
            await asyncio.wait((led.replaying,))
        del self._led[led.claim.number]

    async def _release(self, led: Led) -> None:
        if not led.is_claimed:
            return
        led.is_claimed = False
        try:
            await self._claims.release(led.names.claim, led.claim)
        except RedisUnavailableError:
            return  # it expires

    async def renew(self) -> None:
        """Keep what is claimed."""
        claimed = [led for led in self._led.values() if led.is_claimed]
        for start in range(0, len(claimed), _AT_ONCE):
            await asyncio.gather(*map(self._renew, claimed[start : start + _AT_ONCE]))

    async def _renew(self, led: Led) -> None:
        if not led.is_claimed:
            return
        try:
            led.is_claimed = await self._claims.renew(led.names.claim, led.claim) and led.is_claimed
        except RedisUnavailableError:
            return

    # -- followers

    def wanted(self, note: Note) -> None:
        """A replica follows, or still does."""
        led = self._led.get(note.number)
        if led is None or led.key != note.key:
            self._refuse(note.replica, note.number, note.key)
            return
        if not led.may_be_followed(note.replica, is_new_welcome=not self._is_stopping):
            self._refuse(note.replica, note.number, note.key)
            return
        replay = led.replay = led.replay or self._replay_of(led)
        replay.followers[note.replica] = time.monotonic()
        if led.replaying is None:
            replaying = self._replays.spawn(self._replay(led, replay), name="fleet replay")
            led.replaying = None if replaying.done() else replaying

    def has_enough(self, note: Note) -> None:
        """A replica follows no more; the last one to leave ends the replay."""
        led = self._led.get(note.number)
        if led is None or led.replay is None or led.replaying is None:
            return
        led.replay.followers.pop(note.replica, None)
        if not led.replay.followers:
            led.replaying.cancel()

    def disturbed(self) -> None:
        """Something was amiss with Redis: who was not heard may have spoken."""
        self._disturbed_at = time.monotonic()

    def _replay_of(self, led: Led) -> Replay:
        return Replay(
            led.flight,
            led.names,
            self._link,
            self._pace,
            sealer=self._sealer,
            lag_bytes=self._settings.max_lag_bytes,
            calm_since=lambda: self._disturbed_at,
            on_trouble=self.disturbed,
        )

    async def _replay(self, led: Led, replay: Replay) -> None:
        is_done = False
        try:
            is_done = await replay.run()
        finally:
            led.replay = led.replaying = None
            if not is_done:
                for replica in replay.followers:
                    self._refuse(replica, led.claim.number, led.key)

    # -- the end of all

    def refuse_all(self) -> None:
        """Take no more."""
        self._is_stopping = True
        for led in self._led.values():
            if led.replay is not None:
                led.replay.end()

    async def stop(self, timeout_s: float) -> int:
        """Let the followers that are there come to an end, give back what is claimed; returns how many flights were cut
        off for them."""
        self.refuse_all()
        left = await self._replays.wait(timeout_s)
        await self._replays.cancel()
        await self._landing.wait(_LAST_WORDS_S)
        await self._landing.cancel()
        await asyncio.gather(*map(self._release, self._led.values()))
        return left
