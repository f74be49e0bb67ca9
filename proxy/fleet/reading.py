"""Reading a stream with blocking reads, on a connection that nobody else uses.

Rules: a read that ends early, cancelled or late, closes the connection with it; the next one makes another. Reads of
one reader come one after the other.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from proxy.fleet.connection import Connection, ErrorReply, Reply, packed
from proxy.fleet.errors import RedisRefusedError, RedisUnavailableError

_MARGIN_S: Final = 1.0  # past the time that the server was told to wait
_DEFAULT_COUNT: Final = 256


@dataclass(frozen=True, slots=True)
class Item:
    """One of a stream's. `fields`: names and values in turn."""

    id: bytes
    fields: list[bytes] = field(repr=False)


class Reading:
    """Made by the link."""

    def __init__(
        self, stream: bytes, dial: Callable[[], Awaitable[Connection]], on_close: Callable[["Reading"], None]
    ) -> None:
        self._stream = stream
        self._dial = dial
        self._on_close = on_close
        self._connection: Connection | None = None

    @property
    def is_connected(self) -> bool:
        """There is a connection."""
        return self._connection is not None and not self._connection.is_closed

    async def read(self, after: bytes, wait_s: float, count: int = _DEFAULT_COUNT) -> list[Item]:
        """What came after this id (`$`: after now), waiting for the first so long; empty when nothing came. Raises
        RedisUnavailableError."""
        connection = self._connection
        if connection is None or connection.is_closed:
            connection = self._connection = await self._dial()
        block = max(1, round(wait_s * 1000))  # 0 would wait for ever
        command = packed(b"XREAD", b"COUNT", count, b"BLOCK", block, b"STREAMS", self._stream, after)
        try:
            async with asyncio.timeout(wait_s + _MARGIN_S):
                reply = await connection.ask(command)
        except TimeoutError as failure:
            self._drop()
            raise RedisUnavailableError("timeout") from failure
        except asyncio.CancelledError:
            self._drop()
            raise
        if isinstance(reply, ErrorReply):
            self._drop()  # a slot that moved away is found anew, and so is a server that is not what it was
            raise RedisRefusedError(reply.code)
        return [] if reply is None else _items(reply)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def close(self) -> None:
        """End it."""
        self._drop()
        self._on_close(self)


def _items(reply: Reply) -> list[Item]:
    match reply:
        case [[_, list(items)]]:
            found = []
            for each in items:
                match each:
                    case [bytes(id_), list(fields)]:
                        found.append(Item(id_, [part for part in fields if isinstance(part, bytes)]))
            return found
    raise RedisUnavailableError("protocol_error")
