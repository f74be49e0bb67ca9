"""Following a flight that another replica leads.

Rules: as long as nothing of the answer has been handed on, a leader that dies, refuses or falls silent is no failure:
there is no answer from there, and the caller does without. After that it is one: a body breaks off, as it does when an
origin breaks off; but an outage of Redis is waited for. Pieces come on a channel; what a position shows to be missing
is read from the stream, and so is everything when this end has not kept pace: no more is held here than the settings
let a reader lag. What arrives twice is taken once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from proxy.exchange.errors import ExchangeError, UpstreamError
from proxy.exchange.frames import (
    CallState,
    Head,
    Kind,
    PeerError,
    each,
    parse_at,
    parse_end,
    parse_failed,
    parse_head,
)
from proxy.exchange.model import Body, Exchange, Response, UpstreamCall
from proxy.fleet.sight import Sight
from proxy.fleet.trail import Trail


class Following(Body):
    """One flight of another's. `opened`: a message as it was before it was encrypted, None for what cannot be opened;
    `on_end` is called once, when nothing more is wanted from there."""

    def __init__(
        self,
        trail: Trail,
        sight: Sight,
        opened: Callable[[bytes], bytes | None],
        max_held_bytes: int,
        on_end: Callable[[], None],
    ) -> None:
        self._trail = trail
        self._sight = sight
        self._opened = opened
        self._max_held_bytes = max_held_bytes
        self._on_end = on_end
        self._head: Head | None = None
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._position = 0  # in the body, of what has come
        self._is_complete = False
        self._state: CallState | None = None  # at the end
        self._failure: ExchangeError | None = None
        self._is_behind = True  # the stream has something that we have not
        self._call: UpstreamCall | None = None
        self._is_closed = False
        self._waiter: asyncio.Future[None] | None = None

    # -- what the caller wants

    async def answer(self, exchange: Exchange) -> Response | None:
        """The answer, and the exchange's `call`; None when none comes from there. Raises the failure of the call."""
        is_open = False
        try:
            while self._head is None and self._failure is None:
                if not self._is_behind and self._sight.is_hopeless(time.monotonic()):
                    return None
                await self._advance()
            if self._head is None:
                assert self._failure is not None
                self._begin(exchange, self._state)
                raise self._failure
            response = self._head.response
            if self._head.is_whole:
                whole = await self._whole()
                if whole is None:
                    return None
                response.body = whole
            else:
                response.body, is_open = self, True
            self._begin(exchange, self._head.call)
            return response
        finally:
            if not is_open:
                self.end()

    def _begin(self, exchange: Exchange, state: CallState | None) -> None:
        if state is not None:
            self._call = exchange.call = UpstreamCall(started_at=state.started_at)
            state.show_in(self._call)

    async def _whole(self) -> bytes | None:
        while not self._is_complete:
            if self._failure is not None:
                return None
            if not self._is_behind and self._sight.is_hopeless(time.monotonic()):
                return None
            await self._advance()
            self._held = 0  # all of it is wanted at once
        return b"".join(self._pieces)

    async def read(self) -> bytes | None:
        while not self._pieces:
            if self._is_complete or self._is_closed:
                self.end()
                return None
            if self._failure is not None:
                self.end()
                raise self._failure
            if not self._is_behind and self._sight.is_lost(time.monotonic()):
                self.end()
                raise UpstreamError("connection_terminated", "the replica that made this call is gone")
            await self._advance()
        piece = self._pieces.popleft()
        self._held -= len(piece)
        return piece

    async def aclose(self) -> None:
        self.end()

    def end(self) -> None:
        """Nothing more comes, or is wanted. Safe to call more than once."""
        if self._is_closed:
            return
        self._is_closed = True
        self._pieces.clear()
        self._on_end()
        if self._call is not None:
            if self._state is not None:
                self._state.show_in(self._call)
                self._call.started_at = min(self._call.started_at, self._state.started_at)
            self._call.end(time.monotonic())

    # -- what comes

    def hear(self, message: bytes) -> None:
        """From the channel."""
        now = time.monotonic()
        self._sight.heard(now)
        id_, _, frames = message.partition(b"\n")
        if self._has_room() and self._takes(frames):
            self._trail.postpone(now)
            if id_:
                self._trail.reached(id_)
        else:
            self._is_behind = True
        self._wake()

    def refuse(self) -> None:
        """The other one does not lead this flight."""
        self._sight.refused()
        self._wake()

    def disturbed(self) -> None:
        """Messages may have been missed."""
        self._sight.disturbed(time.monotonic())
        self._is_behind = True
        self._wake()

    def _has_room(self) -> bool:
        return not self._pieces or self._held < self._max_held_bytes

    def _takes(self, message: bytes) -> bool:
        """False: something is missing before it, or it is not understood."""
        position = -1
        try:
            for kind, payload in each(self._opened(message) or b""):
                match kind:
                    case Kind.AT:
                        position = parse_at(payload)
                        if position > self._position:
                            return False
                    case Kind.CHUNK:
                        if self._head is None or position < 0:
                            return False
                        self._take(position, payload)
                        position += len(payload)
                    case _:
                        if not self._is_told(kind, payload):
                            return False
        except PeerError:
            return False
        return position >= 0

    def _take(self, position: int, payload: bytes) -> None:
        piece = payload[self._position - position :]
        if piece:
            self._pieces.append(piece)
            self._held += len(piece)
            self._position += len(piece)

    def _is_told(self, kind: Kind, payload: bytes) -> bool:
        now = time.monotonic()
        match kind:
            case Kind.HEAD:
                if self._head is None:
                    self._head = parse_head(payload, now)
            case Kind.END:
                if self._head is None:
                    return False
                self._is_complete, self._state = True, parse_end(payload, now)
            case Kind.FAILED:
                self._failure, self._state = parse_failed(payload, now)
        return True

    # -- waiting

    async def _advance(self) -> None:
        """Return when something may have changed: something came, or it was looked."""
        now = time.monotonic()
        if self._is_behind or self._trail.is_due(now):
            self._is_behind = False
            await self._look()
            return
        self._waiter = asyncio.get_running_loop().create_future()
        timer = asyncio.get_running_loop().call_later(self._trail.due_in_s(now), self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    async def _look(self) -> None:
        is_more = True
        while is_more and not self._is_behind:
            sighting = await self._trail.look()
            self._sight.looked(time.monotonic(), sighting)
            is_more = sighting.is_more
            for id_, message in sighting.messages:
                if not self._has_room():
                    self._is_behind = True
                elif self._takes(message):
                    self._trail.reached(id_)
                    continue
                else:
                    self._read_again()
                break

    def _read_again(self) -> None:
        """From the first message on, if that is not where this began."""
        if self._trail.is_at_start:
            self._sight.torn()
        else:
            self._trail.start_over()
            self._is_behind = True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
