"""The flights that this worker leads, for the other workers: a Unix socket on which they join them.

Rules: a follower of another worker is one more reader of the flight, with the same rules: it gets what was received so
far and then the live chunks, waits for nobody, is cut off when it lags, and is gone when it hangs up. Only processes of
the same user are served.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

import structlog

from proxy.exchange.errors import ExchangeError
from proxy.exchange.flight import Flight
from proxy.exchange.frames import CHUNK_BYTES, Kind, PeerError, asked, end, failed, frame, head
from proxy.exchange.model import Response
from proxy.tasks import TaskSet
from proxy.workers.conversation import Conversation, Patience

log = structlog.get_logger(__name__)

_CREDENTIALS = struct.Struct("3i")  # unix(7): process, user, group

type LedFlight = Callable[[int, bytes], Flight | None]


class FlightServer:
    """See the module. `led`: the flight that this owner leads for a fingerprint, if it does and may be joined; `user`:
    whose processes are served."""

    def __init__(self, path: Path, led: LedFlight, patience: Patience, user: int) -> None:
        self._path = path
        self._led = led
        self._patience = patience
        self._user = user
        self._followers = TaskSet()
        self._parts = TaskSet()  # of what is done for each
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises OSError."""
        listening = socket.socket(socket.AF_UNIX)
        try:
            self._path.unlink(missing_ok=True)  # a predecessor that was killed has left its own
            listening.bind(str(self._path))
            self._path.chmod(0o600)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: Conversation(self._accept), sock=listening)
        except BaseException:
            listening.close()
            raise

    def refuse(self) -> None:
        """Take no followers any more."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)

    async def stop(self, timeout_s: float) -> int:
        """Refuse, let the followers that are there come to an end; returns how many were cut off."""
        self.refuse()
        left = await self._followers.wait(timeout_s)
        await self._followers.cancel()
        return left

    @property
    def followers(self) -> int:
        """Conversations now."""
        return len(self._followers)

    def _accept(self, conversation: Conversation) -> None:
        if _user_of(conversation) != self._user:
            conversation.abort()
            return
        self._followers.spawn(self._serve(conversation), name="worker's follower")

    async def _serve(self, conversation: Conversation) -> None:
        try:
            kind, payload = await conversation.hear(self._patience.answer_s)
            if kind is not Kind.ASK:
                raise PeerError("no question")  # noqa: TRY301 - answered like every other misunderstanding
            flight = self._led(*asked(payload))
            if flight is None:
                conversation.say(frame(Kind.REFUSED))
                return
            conversation.say(frame(Kind.TAKEN))
            await self._while_there(conversation, flight)
        except PeerError as failure:
            log.debug("worker_follower_gone", reason=str(failure))
        finally:
            conversation.close()

    async def _while_there(self, conversation: Conversation, flight: Flight) -> None:
        """Replay the flight, until its end or until the follower hangs up."""
        replaying = self._parts.spawn(_replay(conversation, flight), name="worker's replay")
        watching = self._parts.spawn(conversation.until_left(self._patience.presence_s), name="worker's presence")
        try:
            await asyncio.wait((replaying, watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            replaying.cancel()
            watching.cancel()
            await asyncio.wait((replaying, watching))


async def _replay(conversation: Conversation, flight: Flight) -> None:
    deadline_s = flight.exchange.settings.upstream.idle_timeout_s
    try:
        response = await flight.join()
        conversation.say(head(response, flight.call))
        await _send_body(conversation, response, deadline_s)
    except ExchangeError as failure:
        conversation.say(failed(failure, flight.call))
    except PeerError as failure:
        log.debug("worker_follower_gone", reason=str(failure))
    else:
        conversation.say(end(flight.call))


async def _send_body(conversation: Conversation, response: Response, deadline_s: float) -> None:
    body = response.body
    if isinstance(body, bytes):
        await _send(conversation, body, deadline_s)
        return
    try:
        while (chunk := await body.read()) is not None:
            await _send(conversation, chunk, deadline_s)
    finally:
        await body.aclose()


async def _send(conversation: Conversation, chunk: bytes, deadline_s: float) -> None:
    for at in range(0, len(chunk), CHUNK_BYTES):
        conversation.say(frame(Kind.CHUNK, chunk[at : at + CHUNK_BYTES]))
        await conversation.heard(deadline_s)


def _user_of(conversation: Conversation) -> int:
    """Whose process is at the other end."""
    connection = cast("socket.socket", conversation.about("socket"))
    _, user, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(user)
