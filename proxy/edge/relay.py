"""Relaying bytes between a client and an origin, untouched and in both directions, half-closes included.

Used for everything that is not ours (other hosts, pinning clients, gRPC by ALPN) straight on the client's socket, and
for what stops being HTTP on a connection of ours (WebSockets, gRPC) behind our TLS. Each side is read only as fast as
the other side takes; how long they are silent is their affair, but a side that has vanished ends the relay.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from proxy.tasks import TaskSet

_CHUNK = 65_536


class ClientSide(Protocol):
    """The client's half, whoever owns its socket."""

    def send(self, data: bytes) -> None:
        """Bytes from the origin."""
        ...

    async def drain(self) -> None:
        """Wait until the client takes more."""
        ...

    def send_eof(self) -> None:
        """The origin will send nothing more."""
        ...

    def close(self) -> None:
        """The relay is over."""
        ...

    def pause(self) -> None:
        """Stop reading from the client."""
        ...

    def resume(self) -> None:
        """Go on reading from the client."""
        ...


class Relay:
    """One relayed connection, once the origin's side is open."""

    def __init__(
        self, client: ClientSide, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tasks: TaskSet
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._reader = reader
        self._writer = writer
        self._drain: asyncio.Task[None] | None = None
        self._client_ended = False
        self._origin_ended = False

    def from_client(self, data: bytes) -> None:
        """Bytes from the client; pauses it while the origin is slower."""
        if self._writer.is_closing():
            return
        self._writer.write(data)
        transport = self._writer.transport
        if transport.get_write_buffer_size() > _CHUNK * 4 and self._drain is None:
            self._client.pause()
            drain = self._tasks.spawn(self._until_taken(), name="relay drain")
            self._drain = None if drain.done() else drain

    async def _until_taken(self) -> None:
        try:
            await self._writer.drain()
        except OSError:
            pass
        finally:
            self._drain = None
            self._client.resume()

    def client_eof(self) -> None:
        """The client will send nothing more."""
        self._client_ended = True
        if self._origin_ended:
            self._client.close()
        elif not self._writer.is_closing():
            if self._writer.can_write_eof():
                self._writer.write_eof()
            else:  # TLS has no half-close: the origin is told by closing
                self._writer.close()

    async def run(self, on_bytes: Callable[[int], None] | None = None) -> None:
        """Until the origin has sent everything and the client's side is over too."""
        try:
            while data := await self._reader.read(_CHUNK):
                self._client.send(data)
                if on_bytes is not None:
                    on_bytes(len(data))
                await self._client.drain()
        except OSError:
            self._client.close()
            return
        self._origin_ended = True
        if self._client_ended:
            self._client.close()
        else:
            self._client.send_eof()

    def close(self) -> None:
        """Break off."""
        self._writer.close()
        if self._drain is not None:
            self._drain.cancel()
