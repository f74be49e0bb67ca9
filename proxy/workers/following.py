"""Following a flight that another worker leads.

Rules: as long as nothing of the answer has been handed on, a leader that dies, refuses or falls silent is no failure:
there is no answer from there, and the caller makes the call itself. After that it is one: a body breaks off, as it does
when an origin breaks off. The follower's own UpstreamCall says what the leader told of the real one.
"""

import asyncio
import time
from pathlib import Path

from proxy.exchange.errors import UpstreamError
from proxy.exchange.frames import (
    CallState,
    Head,
    Kind,
    PeerError,
    ask,
    parse_end,
    parse_failed,
    parse_head,
)
from proxy.exchange.model import Body, Exchange, Response, UpstreamCall
from proxy.workers.conversation import Conversation, Patience


async def follow(socket: Path, owner: int, key: bytes, exchange: Exchange, patience: Patience) -> Response | None:
    """The answer of the flight that `owner` leads, and the exchange's `call`; None when it gives none. Raises the
    failure of the call."""
    try:
        async with asyncio.timeout(patience.answer_s):
            _, conversation = await asyncio.get_running_loop().create_unix_connection(Conversation, str(socket))
    except (OSError, TimeoutError):
        return None
    is_open = False
    try:
        conversation.say(ask(owner, key))
        kind, _ = await conversation.hear(patience.answer_s)
        if kind is not Kind.TAKEN:
            return None
        response = await _answer(conversation, exchange, patience.silence_s)
        is_open = not isinstance(response.body, bytes)
    except PeerError:
        return None
    else:
        return response
    finally:
        if not is_open:
            conversation.close()


async def _answer(conversation: Conversation, exchange: Exchange, silence_s: float) -> Response:
    kind, payload = await conversation.hear(silence_s)
    if kind is Kind.FAILED:
        failure, state = parse_failed(payload)
        if (call := _begun(state)) is not None:
            call.end(time.monotonic())
            exchange.call = call
        raise failure
    if kind is not Kind.HEAD:
        raise PeerError("no head")
    head = parse_head(payload)
    call = _begun(head.call)
    body = RemoteBody(conversation, call, silence_s)
    if not head.is_whole:
        exchange.call = call
        head.response.body = body
        return head.response
    return await _whole(head, body, exchange, call)


async def _whole(head: Head, body: "RemoteBody", exchange: Exchange, call: UpstreamCall | None) -> Response:
    pieces = []
    try:
        while (piece := await body.next_piece()) is not None:
            pieces.append(piece)
    finally:
        body.end()
    exchange.call = call
    head.response.body = b"".join(pieces)
    return head.response


def _begun(state: CallState | None) -> UpstreamCall | None:
    if state is None:
        return None
    call = UpstreamCall(started_at=state.started_at)
    state.show_in(call)
    return call


class RemoteBody(Body):
    """The body of a flight that another worker leads."""

    def __init__(self, conversation: Conversation, call: UpstreamCall | None, silence_s: float) -> None:
        self._conversation = conversation
        self._silence_s = silence_s
        self._call = call
        self._is_closed = False

    async def read(self) -> bytes | None:
        try:
            return await self.next_piece()
        except PeerError as failure:
            self.end()
            raise UpstreamError("connection_terminated", "the worker that made this call is gone") from failure

    async def next_piece(self) -> bytes | None:
        """The same, but raises PeerError when the leader is gone."""
        if self._is_closed:
            return None
        kind, payload = await self._conversation.hear(self._silence_s)
        match kind:
            case Kind.CHUNK:
                return payload
            case Kind.END:
                self.end(parse_end(payload))
                return None
            case Kind.FAILED:
                failure, state = parse_failed(payload)
                self.end(state)
                raise failure
            case _:
                raise PeerError("no piece of a body")

    def end(self, state: CallState | None = None) -> None:
        """Nothing more comes, or is wanted. Safe to call more than once."""
        if self._is_closed:
            return
        self._is_closed = True
        self._conversation.close()
        if self._call is not None:
            if state is not None:
                state.show_in(self._call)
            self._call.end(time.monotonic())

    async def aclose(self) -> None:
        self.end()
