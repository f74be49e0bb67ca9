"""A connection that is not ours: relayed byte for byte, with the origin's own certificate end to end."""

import asyncio

import structlog

from proxy.edge.handover import Handover
from proxy.edge.prelude import Opened, Prelude
from proxy.edge.refusals import Denied
from proxy.edge.relay import Relay
from proxy.exchange.errors import UpstreamError
from proxy.tasks import TaskSet
from proxy.upstream.dial import Dialer
from proxy.upstream.guard import PROHIBITED
from proxy.upstream.liveness import notice_dead_peer

log = structlog.get_logger(__name__)

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_FAILED = (
    b"HTTP/1.1 %d Origin unreachable\r\nproxy-status: skinflint; error=%s\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


def _answer(failure: UpstreamError) -> bytes:
    if failure.code == PROHIBITED:
        return Denied("address", failure.status, failure.code, failure.message).answer()
    return _FAILED % (failure.status, failure.code.encode())


class TunnelConnection(asyncio.Protocol):
    """The asyncio protocol on the client's socket, and the relay's client side.

    `answers_connect`: the client waits for the answer to its CONNECT, which tells whether the origin was reached.
    `prelude`: the origin's side, if it was opened before.
    """

    def __init__(
        self,
        handover: Handover,
        dialer: Dialer,
        tasks: TaskSet,
        host: str,
        port: int,
        *,
        dead_peer_s: float,
        answers_connect: bool = False,
        prelude: Prelude | None = None,
    ) -> None:
        self._prelude = prelude
        self._handover = handover
        self._transport = handover.transport
        self._dialer = dialer
        self._tasks = tasks
        self._host = host
        self._port = port
        self._dead_peer_s = dead_peer_s
        self._answers_connect = answers_connect
        self._relay: Relay | None = None
        self._task: asyncio.Task[None] | None = None
        self._early: list[bytes] = []
        self._early_eof = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended = asyncio.Event()

    def start(self, initial: bytes) -> None:
        """The socket is ours; `initial` has already been read from it."""
        if initial:
            self._early.append(initial)
        self._early_eof = self._handover.at_eof
        self._transport.pause_reading()  # until the origin's side is open
        self._task = self._tasks.spawn(self._run(), name="tunnel")

    async def _run(self) -> None:
        try:
            prelude, self._prelude = self._prelude, None
            opened = await prelude.take() if prelude is not None else None
            opened = opened or Opened(*await self._dialer.open(self._host, self._port))
        except UpstreamError as failure:
            if failure.code != PROHIBITED:  # which is said where it was refused, and not in a flood
                log.info("tunnel_failed", host=self._host, port=self._port, reason=failure.code)
            if self._answers_connect:
                self.send(_answer(failure))
            self.close()
            return
        if self._answers_connect:
            self.send(ESTABLISHED)
        notice_dead_peer(opened.writer.transport, self._dead_peer_s)
        relay = self._relay = Relay(self, opened.reader, opened.writer, self._tasks)
        if opened.greeting:
            self.send(opened.greeting)
        for data in self._early:
            relay.from_client(data)
        self._early.clear()
        self._transport.resume_reading()
        if self._early_eof:
            relay.client_eof()
        try:
            await relay.run()
            await self._ended.wait()  # the client may go on after the origin has ended
        finally:
            relay.close()
            self.close()

    # -- the client's socket

    def data_received(self, data: bytes) -> None:
        if self._relay is None:
            self._early.append(data)
        else:
            self._relay.from_client(data)

    def eof_received(self) -> bool:
        if self._relay is None:
            self._early_eof = True
        else:
            self._relay.client_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()
        self._ended.set()
        if self._relay is not None:
            self._relay.close()
        if self._task is not None:
            self._task.cancel()
        self._handover.finish()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # -- relay.ClientSide

    def send(self, data: bytes) -> None:
        """See relay.ClientSide."""
        if not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """See relay.ClientSide."""
        await self._writable.wait()

    def send_eof(self) -> None:
        """See relay.ClientSide."""
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        """See relay.ClientSide."""
        self._transport.close()

    def pause(self) -> None:
        """See relay.ClientSide."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """See relay.ClientSide."""
        if not self._transport.is_closing():
            self._transport.resume_reading()
