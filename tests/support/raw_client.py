"""A client that sends exactly the bytes it is told, through a proxy or straight, with TLS or without; and reads answers
as strictly as RFC 9112 says, trailers and interim heads included.

Rules: TLS is done in memory, so that half-closes and packets can be chosen freely; every wait has a deadline.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import orjson

from proxy.exchange.provider import Json

WAIT_S = 20.0
_CHUNK = 65_536


@dataclass(slots=True)
class Answer:
    """One answer, as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)

    def header(self, name: str) -> str:
        """All values of a field, joined; empty when there is none."""
        return ", ".join(value for key, value in self.headers if key == name)

    def json(self) -> Json:
        """The body, an object."""
        value = orjson.loads(self.body)
        assert isinstance(value, dict)
        return value

    def events(self) -> list[bytes]:
        """The body's server-sent events."""
        return [event for event in self.body.split(b"\n\n") if event]


class RawClient:
    """One connection. Made by `connect` and the functions below it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._received = b""
        self.at_eof = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Send what is waiting, then be gone."""
        self._writer.close()
        try:
            await asyncio.wait_for(self._writer.wait_closed(), WAIT_S)
        except TimeoutError:
            self.abort()
        except OSError:
            pass

    # -- TLS

    async def start_tls(self, context: ssl.SSLContext, name: str | None, early: bytes = b"") -> None:
        """Handshake. `early` goes out in the same write as the ClientHello, before it. Raises ssl.SSLError."""
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._writer.write(early + self._outgoing.read())
                early = b""
                await self._fill()
            except ssl.SSLError:
                self._writer.write(self._outgoing.read())  # the alert
                raise
        self._writer.write(self._outgoing.read())
        self._tls = tls

    def client_hello(self, context: ssl.SSLContext, name: str) -> bytes:
        """The first flight of a handshake, which `start_tls` then does not repeat: for tests that cut it up."""
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        self._tls = tls
        return self._outgoing.read()

    async def finish_handshake(self) -> None:
        """Go on after `client_hello` was sent."""
        assert self._tls is not None
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._fill()
        self._writer.write(self._outgoing.read())

    @property
    def tls(self) -> ssl.SSLObject:
        """For what was agreed on and shown."""
        assert self._tls is not None
        return self._tls

    async def _fill(self) -> None:
        data = await asyncio.wait_for(self._reader.read(_CHUNK), WAIT_S)
        if not data:
            raise ConnectionResetError("the other side has closed")
        self._incoming.write(data)

    # -- bytes

    def send(self, data: bytes) -> None:
        """Send."""
        if self._tls is None:
            self._writer.write(data)
        else:
            self._tls.write(data)
            self._writer.write(self._outgoing.read())

    def send_raw(self, data: bytes) -> None:
        """Send below TLS."""
        self._writer.write(data)

    async def send_slowly(self, data: bytes, size: int = 1) -> None:
        """Send in pieces, each in a packet of its own."""
        for at in range(0, len(data), size):
            self.send(data[at : at + size])
            await self.flush()

    async def flush(self) -> None:
        """Wait until the kernel has taken everything that was sent."""
        await asyncio.wait_for(self._writer.drain(), WAIT_S)
        transport = self._writer.transport
        while transport.get_write_buffer_size():
            await asyncio.sleep(0)

    def send_fin(self) -> None:
        """Close the sending half below TLS."""
        self._writer.write_eof()

    def send_close_notify(self) -> None:
        """Close the sending half of TLS."""
        assert self._tls is not None
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._writer.write(self._outgoing.read())

    def abort(self) -> None:
        """Be gone as soon as the loop turns."""
        self._writer.transport.abort()

    async def leave(self) -> None:
        """Be gone."""
        self.abort()
        await self.close()

    async def read(self) -> bytes:
        """What is there, at least a byte; nothing at the end."""
        if self._received:
            received, self._received = self._received, b""
            return received
        return await asyncio.wait_for(self._read(), WAIT_S)

    async def _read(self) -> bytes:
        while True:
            if self._tls is not None:
                try:
                    if data := self._tls.read(_CHUNK):
                        return data
                    break
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLError:  # its close_notify, after ours
                    break
            data = await self._reader.read(_CHUNK)
            if not data:
                break
            if self._tls is None:
                return data
            self._incoming.write(data)
        self.at_eof = True
        return b""

    @property
    def is_stale(self) -> bool:
        """The other side has closed, or says something unasked: pools look at that before they use one again."""
        return self._reader.at_eof() or bool(self._reader._buffer)  # type: ignore[attr-defined] # as old as asyncio

    async def read_all(self) -> bytes:
        """Everything until the end."""
        pieces = []
        while piece := await self.read():
            pieces.append(piece)
        return b"".join(pieces)

    async def read_exactly(self, count: int) -> bytes:
        """So many bytes. Raises EOFError."""
        while len(self._received) < count:
            await self._more()
        taken, self._received = self._received[:count], self._received[count:]
        return taken

    async def read_until(self, end: bytes) -> bytes:
        """Up to and with `end`. Raises EOFError."""
        while end not in self._received:
            await self._more()
        at = self._received.index(end) + len(end)
        taken, self._received = self._received[:at], self._received[at:]
        return taken

    async def _more(self) -> None:
        received, self._received = self._received, b""
        piece = await self.read()
        self._received = received + piece
        if not piece:
            raise EOFError(f"ended after {self._received[-200:]!r}")

    # -- HTTP/1.1

    async def answer(self, method: str = "GET") -> Answer:
        """The next answer, whole."""
        answer = await self.head()
        chunks = [chunk async for chunk in self.body(answer, method)]
        answer.body = b"".join(chunks)
        return answer

    async def head(self) -> Answer:
        """The head of the next final answer."""
        interim: list[int] = []
        while True:
            lines = (await self.read_until(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
            status = int(lines[0].split(" ")[1])
            fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
            if status >= 200 or status == 101:
                return Answer(status, fields, interim=interim)
            interim.append(status)

    async def body(self, answer: Answer, method: str = "GET") -> AsyncIterator[bytes]:
        """Its body in the pieces of its framing. Raises EOFError when it is cut short."""
        if method == "HEAD" or answer.status in (101, 204, 304):
            return
        if answer.header("transfer-encoding") == "chunked":
            while size := int((await self.read_until(b"\r\n")).partition(b";")[0], 16):
                yield (await self.read_exactly(size + 2))[:-2]
            while line := (await self.read_until(b"\r\n"))[:-2]:
                name, _, value = line.decode("latin-1").partition(":")
                answer.trailers.append((name.lower(), value.strip()))
        elif answer.header("content-length"):
            yield await self.read_exactly(int(answer.header("content-length")))
        else:
            yield await self.read_all()


async def connect(port: int, host: str = "127.0.0.1", *, mark: int = 0) -> RawClient:
    """A plain connection. `mark`: the kernel's mark of its packets, for rules of a firewall."""
    opening = asyncio.open_connection(sock=await _marked(port, host, mark)) if mark else None
    reader, writer = await asyncio.wait_for(opening or asyncio.open_connection(host, port), WAIT_S)
    return RawClient(reader, writer)


async def _marked(port: int, host: str, mark: int) -> socket.socket:
    connected = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        connected.setblocking(False)
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(connected, (host, port)), WAIT_S)
    except BaseException:
        connected.close()
        raise
    return connected


async def tunnel(proxy_port: int, authority: str, host: str = "127.0.0.1") -> RawClient:
    """A connection through CONNECT."""
    client = await connect(proxy_port, host)
    client.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    head = await client.read_until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return client


async def secure(proxy_port: int, trust: ssl.SSLContext, host: str = "api.openai.com", port: int = 443) -> RawClient:
    """A connection through CONNECT, with TLS inside."""
    client = await tunnel(proxy_port, f"{host}:{port}")
    try:
        await client.start_tls(trust, host)
    except BaseException:
        await client.close()
        raise
    return client


def request(
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Iterable[tuple[str, str]] = (),
    *,
    host: str = "api.openai.com",
    key: str = "sk-test",
) -> bytes:
    """The bytes of a request. With a body, its length is declared unless the fields say how it is framed."""
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}", f"authorization: Bearer {key}"]
    lines += [f"{name}: {value}" for name, value in headers]
    names = {name.lower() for name, _ in headers}
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chat(prompt: str, *, stream: bool = False, **more: object) -> bytes:
    """The body of a chat call whose answer may be stored."""
    value: Json = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
        **({"stream": True} if stream else {}),
        **more,
    }
    return orjson.dumps(value)


def post(body: bytes, path: str = "/v1/chat/completions", *headers: tuple[str, str], **more: str) -> bytes:
    """A POST of JSON."""
    return request("POST", path, body, [("content-type", "application/json"), *headers], **more)
