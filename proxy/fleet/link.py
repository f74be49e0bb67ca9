"""The link to Redis: one for a process, made when `cache.redis.url` is set.

Rules: every call has a deadline, and fails with RedisUnavailableError alone, which a cancelled call does not wait for.
While a server is away its calls fail at once: an outage costs a call at most its deadline, once. All calls of one turn
of the loop go out together. Connections are made and brought back in the background. No key, value or password is
logged, or stands in an error.

redis-py takes several times the time of one call (see ARCHITECTURE.md), so the calls are spoken by `Connection`, on
hiredis's parser; redis-py asks the sentinels.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

from proxy.fleet.cluster import ClusterServers
from proxy.fleet.connection import Argument, ErrorReply, Reply, packed
from proxy.fleet.dialing import Dialer, LinkSettings
from proxy.fleet.errors import RedisRefusedError, RedisUnavailableError
from proxy.fleet.hearing import Hearing
from proxy.fleet.lane import Counts, Lane
from proxy.fleet.reading import Reading
from proxy.fleet.servers import MasterOfSentinels, OneServer, Servers
from proxy.fleet.urls import Kind, parse

__all__ = ["LinkSettings", "LinkStats", "RedisLink", "RedisRefusedError", "RedisUnavailableError", "Script"]

_MAX_REDIRECTS: Final = 3
_ASKING: Final = packed("ASKING")
_LANES: Final = 2  # to each server
_LEAST_OWN: Final = 2  # one that hears and one that reads, whatever the limit says


class Ask(Protocol):
    """Calls one server."""

    def __call__(self, *command: Argument) -> Awaitable[Reply]: ...


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, known to servers by its digest."""

    text: str
    digest: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class LinkStats:
    """For /v1/stats."""

    form: str
    is_up: bool
    servers: int
    servers_up: int
    connections: int
    calls: int
    failures: int
    timeouts: int
    turned_away: int
    refused: int
    redirected: int
    connects: int


class RedisLink:
    """Raises RedisUrlError when made of a URL that says no place; nothing is connected before `start`."""

    def __init__(self, settings: LinkSettings) -> None:
        self.settings = settings
        self._place = parse(settings.url)
        self._dialer = Dialer(self._place, settings)
        self._counts = Counts()
        self._servers: Servers | None = None
        self._own: set[Hearing | Reading] = set()

    # -- its life

    def start(self) -> Self:
        """Begin to connect, in the background."""
        assert self._servers is None
        match self._place.kind:
            case Kind.STANDALONE:
                self._servers = OneServer(self._place, self._dialer, self.settings, self._counts)
            case Kind.SENTINEL:
                self._servers = MasterOfSentinels(self._place, self._dialer, self.settings, self._counts)
            case Kind.CLUSTER:
                self._servers = ClusterServers(self._place, self._dialer, self.settings, self._counts)
        return self

    @property
    def is_up(self) -> bool:
        """Calls are made: some server is there."""
        return self._servers is not None and any(node.is_up for node in self._servers.nodes())

    @property
    def falls(self) -> int:
        """How many connections for calls were lost so far: whatever was to be heard meanwhile may have been missed."""
        return self._counts.falls

    async def close(self) -> None:
        """End every connection; what is under way fails."""
        for own in list(self._own):
            await own.close()
        servers, self._servers = self._servers, None
        if servers is not None:
            await servers.close()

    def stats(self) -> LinkStats:
        """State, without asking anybody."""
        nodes = [] if self._servers is None else self._servers.nodes()
        counts = self._counts
        return LinkStats(
            form=self._place.kind.value,
            is_up=self.is_up,
            servers=len(nodes),
            servers_up=sum(node.is_up for node in nodes),
            connections=sum(node.connections for node in nodes) + sum(own.is_connected for own in self._own),
            calls=counts.calls,
            failures=counts.failures,
            timeouts=counts.timeouts,
            turned_away=counts.turned_away,
            refused=counts.refused,
            redirected=counts.redirected,
            connects=counts.connects,
        )

    # -- calls; all raise RedisUnavailableError

    async def get(self, key: bytes, deadline_s: float | None = None) -> bytes | None:
        """The value of a key."""
        reply = await self._ask(packed(b"GET", key), key, deadline_s or self.settings.read_timeout_s)
        return reply if isinstance(reply, bytes) else None

    async def set(
        self,
        key: bytes,
        value: bytes,
        ttl_ms: int | None,
        *,
        only_if_absent: bool = False,
        is_bulk: bool = True,
        deadline_s: float | None = None,
    ) -> bool:
        """Keep a value, for so long; False if it was there already and only absence was to be filled."""
        expiry = (b"PX", ttl_ms) if ttl_ms is not None else ()
        command = packed(b"SET", key, value, *expiry, *((b"NX",) if only_if_absent else ()))
        reply = await self._ask(command, key, deadline_s or self.settings.write_timeout_s, is_bulk=is_bulk)
        return reply == b"OK"

    async def delete(self, key: bytes, deadline_s: float | None = None) -> bool:
        """Forget a key; False if it was not there."""
        command = packed(b"UNLINK", key)
        return await self._ask(command, key, deadline_s or self.settings.write_timeout_s) == 1

    async def run(
        self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument] = (), deadline_s: float | None = None
    ) -> Reply:
        """What a script returns. All its keys are in the slot of the first: `{…}` sees to that."""
        deadline_s = deadline_s or self.settings.write_timeout_s
        rest = (len(keys), *keys, *arguments)
        try:
            return await self._ask(packed(b"EVALSHA", script.digest, *rest), keys[0], deadline_s)
        except RedisRefusedError as refusal:
            if refusal.reason != "NOSCRIPT":
                raise
        return await self._ask(packed(b"EVAL", script.text, *rest), keys[0], deadline_s)

    async def call(self, *command: Argument, key: bytes, deadline_s: float | None = None) -> Reply:
        """Any command that answers at once, on the server of `key`."""
        return await self._ask(packed(*command), key, deadline_s or self.settings.write_timeout_s)

    async def add(
        self, stream: bytes, fields: Sequence[bytes], max_length: int, deadline_s: float | None = None
    ) -> bytes:
        """Append to a stream that keeps about so many; returns the id. `fields`: names and values in turn."""
        reply = await self.call(
            b"XADD", stream, b"MAXLEN", b"~", max_length, b"*", *fields, key=stream, deadline_s=deadline_s
        )
        if not isinstance(reply, bytes):
            raise RedisUnavailableError("protocol_error")
        return reply

    async def publish(self, channel: bytes, message: bytes, deadline_s: float | None = None) -> None:
        """Tell whoever hears the channel, on whichever server of a cluster."""
        await self.call(b"PUBLISH", channel, message, key=channel, deadline_s=deadline_s)

    async def for_each_server(self, work: Callable[[Ask], Awaitable[None]], deadline_s: float) -> None:
        """Do something with every server that holds keys, one after the other; the deadline is each call's."""
        for node in self._running().nodes():

            async def ask(*command: Argument, lane: Lane = node.bulk) -> Reply:
                return await lane.call(packed(*command), deadline_s)

            await work(ask)

    # -- connections of one's own; bounded

    def reading(self, stream: bytes) -> Reading:
        """Reads a stream, waiting for what comes. Close it. Raises RedisUnavailableError when there are too many."""
        reading = Reading(stream, lambda: self._running().dial(stream), self._forget)
        return self._remember(reading)

    def hearing(
        self, on_message: Callable[[bytes, bytes], None], on_gap: Callable[[], None], channels: Sequence[bytes] = ()
    ) -> Hearing:
        """Hears channels. Close it. Raises RedisUnavailableError when there are too many."""
        hearing = Hearing(on_message, on_gap, channels, dial=lambda: self._running().dial(None), on_close=self._forget)
        self._remember(hearing)
        hearing.start()
        return hearing

    def _remember[T: (Hearing, Reading)](self, own: T) -> T:
        if len(self._own) >= max(_LEAST_OWN, self.settings.max_connections - _LANES):
            raise RedisUnavailableError("too_many_connections")
        self._own.add(own)
        return own

    def _forget(self, own: Hearing | Reading) -> None:
        self._own.discard(own)

    # -- asking

    def _running(self) -> Servers:
        if self._servers is None:
            raise RedisUnavailableError("closed")
        return self._servers

    async def _ask(self, command: bytes, key: bytes, deadline_s: float, *, is_bulk: bool = False) -> Reply:
        servers = self._servers
        if servers is None:
            raise RedisUnavailableError("closed")
        node = servers.node(key)
        began = asyncio.get_running_loop().time()
        reply = await (node.bulk if is_bulk else node.quick).call(command, deadline_s)
        if type(reply) is ErrorReply:  # a redirect: all others raise
            left_s = began + deadline_s - asyncio.get_running_loop().time()
            return await self._follow(reply, command, left_s, is_bulk=is_bulk)
        return reply

    async def _follow(self, reply: ErrorReply, command: bytes, left_s: float, *, is_bulk: bool) -> Reply:
        loop = asyncio.get_running_loop()
        ends = loop.time() + left_s
        for _ in range(_MAX_REDIRECTS):
            self._counts.redirected += 1
            node = self._running().redirected(reply)
            before = _ASKING if reply.code == "ASK" else b""
            lane = node.bulk if is_bulk else node.quick
            answer = await lane.call(command, max(0.001, ends - loop.time()), before)
            if type(answer) is not ErrorReply:
                return answer
            reply = answer
        raise RedisUnavailableError("too_many_redirects")
