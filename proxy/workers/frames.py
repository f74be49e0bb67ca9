"""What workers say to one another about a flight: frames with a length and a kind, over a Unix socket.

    follower: ASK
    leader:   REFUSED, or TAKEN · HEAD · CHUNK… · END, or FAILED at any point; WAITING when nothing else was to be said

Rules: pure, both ends are this file; its version is in the first frame, and another version is refused. Bodies cross as
they are, everything else as JSON. Whatever is malformed raises PeerError, and the other end counts as gone.
"""

import struct
from dataclasses import asdict, dataclass, fields
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


class PeerError(Exception):
    """The other worker is gone, silent or not understood."""


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


KINDS: Final = {int(kind): kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class CallState:
    """What followers need to know of the upstream call: for the ledger's sums and times. Times are monotonic seconds,
    which are the same for all processes of a machine."""

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


def ask(owner: int, key: bytes) -> bytes:
    """The first frame: whom it is for, so that a replacement does not take it for its own; and the fingerprint."""
    return frame(Kind.ASK, _ASK.pack(VERSION, owner) + key)


def asked(payload: bytes) -> tuple[int, bytes]:
    """The owner and the fingerprint. Raises PeerError."""
    if len(payload) < _ASK.size or payload[0] != VERSION:
        raise PeerError("another version")
    return _ASK.unpack_from(payload)[1], payload[_ASK.size :]


def head(response: Response, call: UpstreamCall | None) -> bytes:
    """The answer's head."""
    fields_ = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in response.headers]
    return _json_frame(
        Kind.HEAD,
        {
            "status": response.status,
            "headers": fields_,
            "content_length": response.content_length,
            "is_whole": isinstance(response.body, bytes),
            "call": _state(call),
        },
    )


def end(call: UpstreamCall | None) -> bytes:
    """The proper end."""
    return _json_frame(Kind.END, {"call": _state(call)})


def failed(failure: ExchangeError, call: UpstreamCall | None) -> bytes:
    """The call, or its body, failed."""
    said = {
        "kind": type(failure).__name__,
        "code": failure.code,
        "message": failure.message,
        "status": failure.status,
        "sent": failure.sent if isinstance(failure, UpstreamError) else True,
        "call": _state(call),
    }
    return _json_frame(Kind.FAILED, said)


def parse_head(payload: bytes) -> Head:
    """Raises PeerError."""
    try:
        said = orjson.loads(payload)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in said["headers"]]
        response = Response(int(said["status"]), headers, b"", said["content_length"])
        return Head(response, bool(said["is_whole"]), _call(said["call"]))
    except (ValueError, TypeError, KeyError, AttributeError) as failure:
        raise PeerError("no head") from failure


def parse_end(payload: bytes) -> CallState | None:
    """Raises PeerError."""
    try:
        return _call(orjson.loads(payload)["call"])
    except (ValueError, TypeError, KeyError) as failure:
        raise PeerError("no end") from failure


def parse_failed(payload: bytes) -> tuple[ExchangeError, CallState | None]:
    """Raises PeerError."""
    try:
        said = orjson.loads(payload)
        code, message, status = str(said["code"]), str(said["message"]), int(said["status"])
        call = _call(said["call"])
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


def _state(call: UpstreamCall | None) -> dict[str, object] | None:
    return None if call is None else asdict(CallState.of(call))


def _call(said: dict[str, object] | None) -> CallState | None:
    if said is None:
        return None
    usage = said["usage"]
    known = {each.name for each in fields(CallState)}
    if set(said) != known:
        raise ValueError("other facts")
    told = {**said, "usage": Usage(**usage) if isinstance(usage, dict) else None}
    return CallState(**told)  # type: ignore[arg-type]  # both ends are this file
