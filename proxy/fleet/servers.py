"""Which server a key belongs to. One server, here: a fixed one, or the one that the sentinels call master.

Rules: sentinels are asked whenever a connection is made, and a server that says itself that it is no master is not
used. redis-py asks them: it is imported for that alone, in a thread.
"""

import asyncio
from typing import Final, Protocol

from proxy.fleet.connection import Connection, ErrorReply, packed
from proxy.fleet.dialing import Dialer, LinkSettings, is_refused_right
from proxy.fleet.errors import RedisUnavailableError
from proxy.fleet.lane import AWAY, Counts
from proxy.fleet.node import Node
from proxy.fleet.urls import Address, RedisPlace

_ROLE: Final = packed("ROLE")


class Servers(Protocol):
    """What the link asks of them."""

    def node(self, key: bytes) -> Node:
        """The server of a key. Raises RedisUnavailableError."""
        ...

    def redirected(self, reply: ErrorReply) -> Node:
        """Whom a redirect leads to. Raises RedisUnavailableError."""
        ...

    async def dial(self, key: bytes | None) -> Connection:
        """A connection of one's own to the server of a key, or to any. Raises RedisUnavailableError."""
        ...

    def nodes(self) -> list[Node]:
        """All that hold keys."""
        ...

    async def close(self) -> None:
        """End all connections but those that were dialled for others."""
        ...


class OneServer:
    """A fixed address."""

    def __init__(self, place: RedisPlace, dialer: Dialer, settings: LinkSettings, counts: Counts) -> None:
        self._dialer = dialer
        self._address = place.addresses[0]
        self._node = Node(
            self._name(place),
            self._connect,
            counts,
            _nothing,
            is_away_on=self._away_codes(),
            probe_timeout_s=settings.connect_timeout_s,
        )

    def _name(self, place: RedisPlace) -> str:
        return str(place.addresses[0])

    def _away_codes(self) -> frozenset[str]:
        return AWAY

    async def _connect(self) -> Connection:
        return await self._dialer.dial(self._address)

    def node(self, key: bytes) -> Node:
        return self._node

    def redirected(self, reply: ErrorReply) -> Node:
        raise RedisUnavailableError("a_cluster")  # the form of the URL is another one

    async def dial(self, key: bytes | None) -> Connection:
        return await self._connect()

    def nodes(self) -> list[Node]:
        return [self._node]

    async def close(self) -> None:
        await self._node.close()


class MasterOfSentinels(OneServer):
    """The master, whoever that is now."""

    def __init__(self, place: RedisPlace, dialer: Dialer, settings: LinkSettings, counts: Counts) -> None:
        self._place = place
        self._settings = settings
        super().__init__(place, dialer, settings, counts)

    def _name(self, place: RedisPlace) -> str:
        return f"master of {place.service}"

    def _away_codes(self) -> frozenset[str]:
        return AWAY | {"READONLY"}  # it was the master

    async def _connect(self) -> Connection:
        connection = await self._dialer.dial(await self._master())
        try:
            await self._require_master(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _require_master(self, connection: Connection) -> None:
        waiter = connection.ask(_ROLE)
        await asyncio.wait((waiter,), timeout=self._settings.connect_timeout_s)
        reply = waiter.result() if waiter.done() else None
        match reply:
            case [b"master", *_]:
                return
        if not is_refused_right(reply):
            raise RedisUnavailableError("no_master")

    async def _master(self) -> Address:
        ask = await asyncio.to_thread(_import_sentinel)
        limit_s = self._settings.connect_timeout_s * len(self._place.addresses)
        try:
            async with asyncio.timeout(limit_s):
                return await ask(self._place, self._settings)
        except TimeoutError as failure:
            raise RedisUnavailableError("no_sentinel") from failure


def _import_sentinel() -> "AskSentinels":
    from proxy.fleet.sentinels import master_address  # noqa: PLC0415 - redis-py: 9 MB and 0.2 s

    return master_address


class AskSentinels(Protocol):
    """proxy.fleet.sentinels.master_address"""

    async def __call__(self, place: RedisPlace, settings: LinkSettings) -> Address: ...


def _nothing() -> None:
    """A fixed place has nothing to look up when its server falls."""
