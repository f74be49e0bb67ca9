"""Flights across replicas: one upstream call for identical calls, whichever replicas their clients came to.

Rules: the replica that claims a call's fingerprint leads; others follow it through Redis, one of them for all its
clients. A call that nobody else makes costs one question to Redis; what is done for followers begins with the first.
A claim is given back when the answer is in the cache, so that whoever comes next finds it there. No call is failed, or
kept waiting without a deadline, for the sake of sharing: while Redis is away each replica shares its calls for itself.
Answers go through Redis encrypted where `cache.encryption` has keys; without them those of a policy that calls them
sensitive do not go there at all.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from config.caching import Collapse
from proxy.exchange.flight import Flight
from proxy.exchange.lost_leaders import LostLeaders
from proxy.exchange.model import Exchange, Response
from proxy.fleet.claims import Claim, Claims, Names, inbox
from proxy.fleet.errors import RedisUnavailableError
from proxy.fleet.following import Following
from proxy.fleet.hearing import Hearing
from proxy.fleet.leading import Pace
from proxy.fleet.led import Led, LedFlights
from proxy.fleet.link import RedisLink
from proxy.fleet.notes import REPLICA_DIGITS, Note, Say, read
from proxy.fleet.shown import FlightsNow
from proxy.fleet.sight import Sight
from proxy.fleet.trail import Trail
from proxy.stores.sealing.sealer import Sealer
from proxy.tasks import TaskSet

log = structlog.get_logger(__name__)

MAX_FOLLOWED: Final = 1_024
_MOST_LEADERS: Final = 8  # that are tried, one after another
_LAST_WORDS_S: Final = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class _Followed:
    """A flight that another replica leads."""

    following: Following
    leader: Claim
    channel: bytes
    key: bytes = field(repr=False)


class FleetFlights:
    """This replica among the others: addons.collapse.Peers. `written` returns when nothing is being stored under a
    fingerprint any more."""

    def __init__(
        self,
        link: RedisLink,
        prefix: str,
        settings: Collapse,
        sealer: Sealer,
        written: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._link = link
        self._prefix = prefix
        self._sealer = sealer
        self._lease_s = settings.lease_s
        self._lag_bytes = settings.max_lag_bytes
        self._claims = Claims(link, settings.lease_s)
        self._led = LedFlights(link, self._claims, settings, sealer, written=written, refuse=self._refuse)
        self._replica = secrets.token_hex(REPLICA_DIGITS // 2)
        self._numbers = itertools.count(1)
        self._followed: dict[bytes, _Followed] = {}  # by channel
        self._hearing: Hearing | None = None
        self._keeping = TaskSet()
        self._notes = TaskSet()
        self.joined = 0
        self.lost = LostLeaders("fleet_leader_gone")

    # -- its life

    def start(self) -> None:
        """Let the others join."""
        try:
            self._hearing = self._link.hearing(self._heard, self._missed, [inbox(self._prefix, self._replica)])
        except RedisUnavailableError as failure:
            log.warning("fleet_flights_off", reason=failure.reason, hint="cache.redis.max_connections")
            return
        self._keeping.spawn(self._keep(), name="fleet leases")

    def refuse(self) -> None:
        """Take no followers any more: others make the calls again that are asked for."""
        self._led.refuse_all()

    async def stop(self, timeout_s: float) -> int:
        """Refuse, let the followers that are there come to an end, give back what is claimed; returns how many flights
        were cut off for them."""
        left = await self._led.stop(timeout_s)
        await self._keeping.cancel()
        await self._notes.wait(_LAST_WORDS_S)
        await self._notes.cancel()
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            await hearing.close()
        self.lost.say()
        return left

    @property
    def now(self) -> FlightsNow:
        """What this replica shares with others now."""
        return FlightsNow(led=self._led.claimed, replayed=self._led.followed, following=len(self._followed))

    # -- Peers

    async def join(self, flight: Flight) -> Response | None:
        """See addons.collapse.Peers."""
        exchange = flight.exchange
        key = exchange.fingerprint
        if key is None or self._hearing is None or not self._led.has_room or self._is_secret(exchange):
            return None
        own = Claim(self._replica, next(self._numbers), exchange.epoch)
        names = Names.of(self._prefix, key, own)
        gone: Claim | None = None
        for _ in range(_MOST_LEADERS):
            led = Led(flight, key, own, names)
            self._led.add(led)
            try:
                holder, exchange.landed_lately = await self._claims.claim(names.claim, own, gone)
            except RedisUnavailableError:
                holder = own  # it may have been heard; if it was not, it is said again when Redis is there
            if holder == own:
                return None
            self._led.discard(led)
            if holder.replica != self._replica:  # else one of our own that cannot be joined any more
                if (response := await self._follow(exchange, key, holder)) is not None:
                    self.joined += 1
                    return response
                self.lost.add()
            gone = holder
        return None

    def _is_secret(self, exchange: Exchange) -> bool:
        policy = exchange.policy
        return policy is not None and bool(policy.sensitive) and not self._sealer.encrypts

    def landed(self, flight: Flight) -> None:
        """See addons.collapse.Peers."""
        self._led.landed(flight)

    async def _follow(self, exchange: Exchange, key: bytes, leader: Claim) -> Response | None:
        names = Names.of(self._prefix, key, leader)
        if self._hearing is None or len(self._followed) >= MAX_FOLLOWED or names.channel in self._followed:
            return None
        try:
            self._hearing.add(names.channel)
        except RedisUnavailableError:
            return None
        trail = Trail(self._link, names, leader, self._lease_s)
        sight = Sight(self._lease_s, time.monotonic())

        def opened(message: bytes) -> bytes | None:
            return self._sealer.decrypted(message, names.channel)

        following = Following(trail, sight, opened, self._lag_bytes, lambda: self._leave(followed))
        followed = self._followed[names.channel] = _Followed(following, leader, names.channel, key)
        self._say(followed, Say.WANTED)
        return await following.answer(exchange)

    def _leave(self, followed: _Followed) -> None:
        del self._followed[followed.channel]
        if self._hearing is not None:
            self._hearing.drop(followed.channel)
            self._say(followed, Say.ENOUGH)

    # -- what is said and heard

    def _say(self, followed: _Followed, say: Say) -> None:
        leader = followed.leader
        self._send(leader.replica, Note(say, leader.number, self._replica, followed.key))

    def _refuse(self, replica: str, number: int, key: bytes) -> None:
        self._send(replica, Note(Say.REFUSED, number, self._replica, key))

    def _send(self, replica: str, note: Note) -> None:
        async def sent() -> None:
            try:
                await self._link.publish(inbox(self._prefix, replica), bytes(note))
            except RedisUnavailableError:
                return  # notes are repeated, or replaced by deadlines

        self._notes.spawn(sent(), name="fleet note")

    def _heard(self, channel: bytes, message: bytes) -> None:
        if (followed := self._followed.get(channel)) is not None:
            followed.following.hear(message)
        elif channel == inbox(self._prefix, self._replica) and (note := read(message)) is not None:
            self._noted(note)

    def _noted(self, note: Note) -> None:
        match note.say:
            case Say.WANTED:
                self._led.wanted(note)
            case Say.ENOUGH:
                self._led.has_enough(note)
            case Say.REFUSED:
                names = Names.of(self._prefix, note.key, Claim(note.replica, note.number, 0))
                if (followed := self._followed.get(names.channel)) is not None:
                    followed.following.refuse()

    def _missed(self) -> None:
        """The channels are heard, after they were not."""
        self._led.disturbed()
        for followed in list(self._followed.values()):
            followed.following.disturbed()
            self._say(followed, Say.WANTED)

    async def _keep(self) -> None:
        """Four times a lease: keep what is claimed; twice: say of all that is followed that it is."""
        for turn in itertools.count():
            await asyncio.sleep(Pace.of(self._lease_s).beat_s)
            await self._led.renew()
            if turn % 2:
                for followed in self._followed.values():
                    self._say(followed, Say.WANTED)
