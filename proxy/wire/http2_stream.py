"""What the HTTP/2 codec keeps for one stream: how far the request and the response are, and body that waits.

Rules: plain state without rules of its own but one: a response's body never gets longer than was promised.
"""

from dataclasses import dataclass, field

from proxy.exchange.headers import HeaderList


@dataclass(slots=True)
class Http2Stream:
    """An open stream."""

    is_head_request: bool
    is_request_complete: bool = False
    unacknowledged_bytes: int = 0  # of the request's body, handed out and not yet given back to the client's window
    is_head_sent: bool = False
    left: int | None = None  # body bytes still promised; None when not bounded
    waiting: bytearray = field(default_factory=bytearray)  # body without window
    is_end_waiting: bool = False
    trailers: HeaderList | None = None  # the response's, sent after what waits
    request_trailers: HeaderList = field(default_factory=list)

    def queue(self, data: bytes) -> None:
        """Add body bytes, as many as were promised."""
        if self.left is not None:
            data = data[: self.left]
            self.left -= len(data)
        self.waiting += data
