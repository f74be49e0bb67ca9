"""The servers of a Redis Cluster: which one has which slot.

Rules: the map is asked of any server that answers, at the start, when a redirect or a fallen server shows that it is
out of date, every second while a server is down, and once a minute. A redirect is followed at once.
"""

import asyncio
import contextlib
import time
from binascii import crc_hqx
from typing import Final

from proxy.fleet.connection import Connection, ErrorReply, Reply, packed
from proxy.fleet.dialing import Dialer, LinkSettings
from proxy.fleet.errors import RedisUnavailableError
from proxy.fleet.lane import Counts
from proxy.fleet.node import Node, Outage
from proxy.fleet.urls import Address, RedisPlace
from proxy.tasks import TaskSet

SLOTS: Final = 16_384
_CLUSTER_SLOTS: Final = packed("CLUSTER", "SLOTS")
_CALM_S: Final = 60.0
_TROUBLED_S: Final = 1.0
_LEAST_S: Final = 0.1  # between two looks
_KEPT_S: Final = 60.0  # servers without slots, since a redirect led there
_MAX_NODES: Final = 1_000
_UNKNOWN_HOSTS: Final = frozenset({b"", b"?"})


def slot_of(key: bytes) -> int:
    """The slot of a key; what stands between its first braces decides, if anything does."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


class ClusterServers:
    """See the module."""

    def __init__(self, place: RedisPlace, dialer: Dialer, settings: LinkSettings, counts: Counts) -> None:
        self._seeds = place.addresses
        self._dialer = dialer
        self._settings = settings
        self._counts = counts
        self._nodes: dict[Address, Node] = {}
        self._slots: list[Node | None] = [None] * SLOTS
        self._outage = Outage("cluster", "map")
        self._wanted = asyncio.Event()
        self._tasks = TaskSet()
        self._tasks.spawn(self._watch(), name="redis cluster map")

    def node(self, key: bytes) -> Node:
        node = self._slots[slot_of(key)]
        if node is None:
            self._wanted.set()
            raise RedisUnavailableError("no_server_of_slot")
        return node

    def redirected(self, reply: ErrorReply) -> Node:
        slot, _, place = reply.rest.partition(" ")
        host, _, port = place.rpartition(":")
        if not (slot.isdigit() and int(slot) < SLOTS and port.isdigit()):
            raise RedisUnavailableError("protocol_error")
        node = self._slots[int(slot)]
        if not host:  # the same as the one that answered
            host = next((address.host for address, each in self._nodes.items() if each is node), self._seeds[0].host)
        target = self._known(Address(host, int(port)))
        target.asked_at = time.monotonic()
        if reply.code == "MOVED":
            self._slots[int(slot)] = target
            self._wanted.set()
        return target

    def _known(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            if len(self._nodes) >= _MAX_NODES:
                raise RedisUnavailableError("too_many_servers")

            async def dial() -> Connection:
                return await self._dialer.dial(address)

            node = self._nodes[address] = Node(
                str(address), dial, self._counts, self._wanted.set, probe_timeout_s=self._settings.connect_timeout_s
            )
        return node

    async def dial(self, key: bytes | None) -> Connection:
        if key is not None:
            node = self.node(key)
            address = next((address for address, each in self._nodes.items() if each is node), None)
            if address is None:
                raise RedisUnavailableError("no_server_of_slot")
            return await self._dialer.dial(address)
        last = RedisUnavailableError("no_server")
        for address in self._addresses():
            try:
                return await self._dialer.dial(address)
            except RedisUnavailableError as failure:
                last = failure
        raise last

    def _addresses(self) -> list[Address]:
        """All that are known, those that are up first."""
        known = sorted(self._nodes, key=lambda address: not self._nodes[address].is_up)
        return [*known, *(seed for seed in self._seeds if seed not in self._nodes)]

    def nodes(self) -> list[Node]:
        return list({id(node): node for node in self._slots if node is not None}.values())

    # -- the map

    async def _watch(self) -> None:
        while True:
            self._wanted.clear()
            try:
                await self._look()
                self._outage.changed(None)
            except RedisUnavailableError as failure:
                self._outage.changed(failure.reason)
            is_calm = None not in self._slots and all(node.is_up for node in self._nodes.values())
            with contextlib.suppress(TimeoutError):
                await asyncio.sleep(_LEAST_S)
                async with asyncio.timeout(_CALM_S if is_calm else _TROUBLED_S):
                    await self._wanted.wait()

    async def _look(self) -> None:
        last = RedisUnavailableError("no_server")
        for address in self._addresses():
            try:
                connection = await self._dialer.dial(address)
            except RedisUnavailableError as failure:
                last = failure
                continue
            try:
                waiter = connection.ask(_CLUSTER_SLOTS)
                await asyncio.wait((waiter,), timeout=self._settings.connect_timeout_s)
                reply = waiter.result() if waiter.done() else None
            finally:
                connection.close()
            if isinstance(reply, list):
                await self._take(reply, address.host)
                return
            last = RedisUnavailableError(_why(reply))
        raise last

    async def _take(self, ranges: list[Reply], asked_host: str) -> None:
        slots: list[Node | None] = [None] * SLOTS
        for each in ranges:
            match each:
                case [int(first), int(last), [host, int(port), *_], *_] if 0 <= first <= last < SLOTS:
                    is_known = isinstance(host, bytes) and host not in _UNKNOWN_HOSTS
                    name = host.decode("utf-8", "replace") if is_known and isinstance(host, bytes) else asked_host
                    slots[first : last + 1] = [self._known(Address(name, port))] * (last + 1 - first)
                case _:
                    raise RedisUnavailableError("protocol_error")
        self._slots = slots
        used = {id(node) for node in slots}
        before = time.monotonic() - _KEPT_S
        for address, node in list(self._nodes.items()):
            if id(node) not in used and node.asked_at < before:
                del self._nodes[address]
                await node.close()

    async def close(self) -> None:
        await self._tasks.cancel()
        await asyncio.gather(*(node.close() for node in self._nodes.values()))


def _why(reply: Reply) -> str:
    if isinstance(reply, ErrorReply):
        return "no_cluster" if reply.code == "ERR" else reply.code
    return "timeout"
