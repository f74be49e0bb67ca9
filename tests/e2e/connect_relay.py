"""A proxy that is none: it answers CONNECT and leads every connection to one address, byte for byte.

With it a client talks to the simulated providers end to end, by their own names and their own certificates, with the
same settings as behind Skinflint: what it sees then is what Skinflint must not change.
"""

import asyncio
import contextlib
from collections.abc import Iterator

from tests.support.background import LoopThread

_HEAD_LIMIT = 65_536


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    writer.close()


class ConnectRelay:
    """See the module."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self.url = ""

    async def start(self) -> None:
        """Listen on a free loopback port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_HEAD_LIMIT)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Close the listener and all that goes through."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            origin_reader, origin_writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await asyncio.gather(_pump(reader, origin_writer), _pump(origin_reader, writer))
            finally:
                origin_writer.close()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client thought better of it
        finally:
            writer.close()


@contextlib.contextmanager
def connect_relay(port: int) -> Iterator[ConnectRelay]:
    """Run until the block is left."""
    thread = LoopThread("relay")
    relay = ConnectRelay(port)
    try:
        thread.run(relay.start())
        yield relay
    finally:
        thread.run(relay.stop())
        thread.close()
