"""A client of the soak: CONNECT, TLS, HTTP/1.1, and every way of leaving.

Rules: it reads strictly, and raises WrongAnswer for what no client could understand. It never waits for a farewell.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from bench.failures import BenchFailed

_LIMIT = 1 << 20
_RESET = struct.pack("ii", 1, 0)

type Fields = Sequence[tuple[str, str]]


class WrongAnswer(BenchFailed):
    """What came is not what must come."""


class SlowAnswer(Exception):
    """The proxy's own deadline for its origin passed, on a machine that was too busy to keep it."""


@dataclass(frozen=True, slots=True)
class Head:
    """Of an answer."""

    status: int
    fields: dict[str, str]


class Client:
    """One connection. `async with await Client.connect(...)` leaves it in any case."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int) -> "Client":
        """A plain connection to the proxy."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=_LIMIT))

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    async def tunnel(self, authority: str) -> None:
        """CONNECT. Raises WrongAnswer when it is refused."""
        self.writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        head = await self.head()
        if head.status != 200:
            raise WrongAnswer(f"CONNECT {authority} gave {head.status}")

    async def secure(self, context: ssl.SSLContext, host: str) -> None:
        """TLS. Raises ssl.SSLError or OSError."""
        await self.writer.start_tls(context, server_hostname=host)

    def send(self, data: bytes) -> None:
        """Hand bytes to the kernel, or as many as it takes now."""
        self.writer.write(data)

    def leave(self, *, reset: bool = False) -> None:
        """Be gone: with a FIN, or with a RST, which also throws away what has not been read."""
        if reset and (raw := self.writer.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.writer.transport.abort()

    async def head(self) -> Head:
        """The next answer's head. Raises IncompleteReadError at the end of the connection."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return Head(int(lines[0].split(" ")[1]), fields)

    async def pieces(self, head: Head) -> AsyncIterator[bytes]:
        """The body as it comes. Raises IncompleteReadError when it is cut short."""
        if head.fields.get("transfer-encoding") == "chunked":
            while size := int((await self.reader.readuntil(b"\r\n")).partition(b";")[0], 16):
                yield (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readuntil(b"\r\n")
        elif length := int(head.fields.get("content-length", "0")):
            yield await self.reader.readexactly(length)

    async def body(self, head: Head) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.pieces(head)])


def request(host: str, path: str, body: bytes, kind: str, fields: Fields = (), *, credential: str = "sk-soak") -> bytes:
    """A POST. `kind` becomes the call's label `app`, by which the ledger is compared."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"host: {host}",
        f"authorization: Bearer {credential}",
        f"x-skinflint-label-app: {kind}",
    ]
    lines += [f"content-type: application/json\r\ncontent-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join([*lines, "", ""]).encode() + body
