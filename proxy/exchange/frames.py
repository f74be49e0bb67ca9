"""What processes say to one another about a flight: frames with a length and a kind.

    workers, over a Unix socket
    follower: ASK
    leader:   REFUSED, or TAKEN · HEAD · CHUNK… · END, or FAILED at any point; WAITING when nothing else was to be said
    replicas, through Redis: the leader's frames alone, several in a message, each message with AT in front

Times are seconds after `since`: 0 among processes of one machine, whose clock is the same; otherwise the moment at
which it is said, or heard.

Rules: pure, both ends are this file; its version is in the first frame, and another version is refused. Bodies cross as
they are, everything else as JSON. Whatever is malformed raises PeerError, and the other end counts as gone.
"""

import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from enum import IntEnum
from typing import Final

import orjson

from proxy.exchange.errors import ExchangeError, Refusal, UpstreamError
from proxy.exchange.model import Response, UpstreamCall
from proxy.exchange.usage import Usage

VERSION: Final = 1
HEADER: Final = struct.Struct("!IB")
MAX_FRAME_BYTES: Final = 1_048_576  # heads are at most a few hundred KiB
CHUNK_BYTES: Final = 262_144
_ASK = struct.Struct("!BQ")
_AT = struct.Struct("!Q")


class PeerError(Exception):
    """The other process is gone, silent or not understood."""


class Kind(IntEnum):
    """What a frame is."""

    ASK = 1
    REFUSED = 2
    TAKEN = 3
    HEAD = 4
    CHUNK = 5
    END = 6
    FAILED = 7
    WAITING = 8
    AT = 9  # how many bytes of the body had come before those that follow in this message


KINDS: Final = {int(kind): kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class CallState:
    """What followers need to know of the upstream call: for the ledger's sums and times, in monotonic seconds."""

    started_at: float
    status: int
    first_byte_at: float | None
    ended_at: float | None
    complete: bool
    attempts: int
    bytes_received: int
    usage: Usage | None

    @classmethod
    def of(cls, call: UpstreamCall) -> "CallState":
        """As it is now."""
        return cls(
            call.started_at,
            call.status,
            call.first_byte_at,
            call.ended_at,
            call.complete,
            call.attempts,
            call.bytes_received,
            call.usage,
        )

    def moved(self, by_s: float) -> "CallState":
        """The same, told by a clock that is ahead by so much."""
        if not by_s:
            return self
        first, ended = self.first_byte_at, self.ended_at
        return replace(
            self,
            started_at=self.started_at + by_s,
            first_byte_at=None if first is None else first + by_s,
            ended_at=None if ended is None else ended + by_s,
        )

    def show_in(self, call: UpstreamCall) -> None:
        """Say the same in the follower's own object; its end is the follower's to say."""
        call.status, call.first_byte_at, call.complete = self.status, self.first_byte_at, self.complete
        call.attempts, call.bytes_received, call.usage = self.attempts, self.bytes_received, self.usage


@dataclass(frozen=True, slots=True)
class Head:
    """The answer's head. `is_whole`: its body comes in one piece."""

    response: Response  # without its body
    is_whole: bool
    call: CallState | None


def frame(kind: Kind, payload: bytes = b"") -> bytes:
    """A frame as it is sent."""
    return HEADER.pack(len(payload), kind) + payload


def at(position: int) -> bytes:
    """Where the pieces that follow in this message begin."""
    return frame(Kind.AT, _AT.pack(position))


def parse_at(payload: bytes) -> int:
    """Raises PeerError."""
    if len(payload) != _AT.size:
        raise PeerError("no position")
    return int(_AT.unpack(payload)[0])


def each(message: bytes) -> Iterator[tuple[Kind, bytes]]:
    """The frames of a message. Raises PeerError."""
    start = 0
    while start < len(message):
        if len(message) - start < HEADER.size:
            raise PeerError("half a frame")
        length, number = HEADER.unpack_from(message, start)
        start += HEADER.size
        kind = KINDS.get(number)
        if kind is None or start + length > len(message):
            raise PeerError("no frame")
        yield kind, message[start : start + length]
        start += length


def ask(owner: int, key: bytes) -> bytes:
    """The first frame: whom it is for, so that a replacement does not take it for its own; and the fingerprint."""
    return frame(Kind.ASK, _ASK.pack(VERSION, owner) + key)


def asked(payload: bytes) -> tuple[int, bytes]:
    """The owner and the fingerprint. Raises PeerError."""
    if len(payload) < _ASK.size or payload[0] != VERSION:
        raise PeerError("another version")
    return _ASK.unpack_from(payload)[1], payload[_ASK.size :]


def head(response: Response, call: UpstreamCall | None, since: float = 0.0) -> bytes:
    """The answer's head."""
    fields_ = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in response.headers]
    return _json_frame(
        Kind.HEAD,
        {
            "status": response.status,
            "headers": fields_,
            "content_length": response.content_length,
            "is_whole": isinstance(response.body, bytes),
            "call": _state(call, since),
        },
    )


def end(call: UpstreamCall | None, since: float = 0.0) -> bytes:
    """The proper end."""
    return _json_frame(Kind.END, {"call": _state(call, since)})


def failed(failure: ExchangeError, call: UpstreamCall | None, since: float = 0.0) -> bytes:
    """The call, or its body, failed."""
    said = {
        "kind": type(failure).__name__,
        "code": failure.code,
        "message": failure.message,
        "status": failure.status,
        "sent": failure.sent if isinstance(failure, UpstreamError) else True,
        "call": _state(call, since),
    }
    return _json_frame(Kind.FAILED, said)


def parse_head(payload: bytes, since: float = 0.0) -> Head:
    """Raises PeerError."""
    try:
        said = orjson.loads(payload)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in said["headers"]]
        response = Response(int(said["status"]), headers, b"", said["content_length"])
        return Head(response, bool(said["is_whole"]), _call(said["call"], since))
    except (ValueError, TypeError, KeyError, AttributeError) as failure:
        raise PeerError("no head") from failure


def parse_end(payload: bytes, since: float = 0.0) -> CallState | None:
    """Raises PeerError."""
    try:
        return _call(orjson.loads(payload)["call"], since)
    except (ValueError, TypeError, KeyError) as failure:
        raise PeerError("no end") from failure


def parse_failed(payload: bytes, since: float = 0.0) -> tuple[ExchangeError, CallState | None]:
    """Raises PeerError."""
    try:
        said = orjson.loads(payload)
        code, message, status = str(said["code"]), str(said["message"]), int(said["status"])
        call = _call(said["call"], since)
        match said["kind"]:
            case "UpstreamError":
                return UpstreamError(code, message, status=status, sent=bool(said["sent"])), call
            case "Refusal":
                return Refusal(code, message, status=status), call
            case _:
                return ExchangeError(code, message, status=status), call
    except (ValueError, TypeError, KeyError) as failure:
        raise PeerError("no failure") from failure


def _json_frame(kind: Kind, said: dict[str, object]) -> bytes:
    return frame(kind, orjson.dumps(said))


def _state(call: UpstreamCall | None, since: float) -> dict[str, object] | None:
    return None if call is None else asdict(CallState.of(call).moved(-since))


def _call(said: dict[str, object] | None, since: float) -> CallState | None:
    if said is None:
        return None
    usage = said["usage"]
    known = {each.name for each in fields(CallState)}
    if set(said) != known:
        raise ValueError("other facts")
    told = {**said, "usage": Usage(**usage) if isinstance(usage, dict) else None}
    return CallState(**told).moved(since)  # type: ignore[arg-type]  # both ends are this file
