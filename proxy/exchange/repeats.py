"""Calls that say the same as a call that was a hit before: the seam between the edge, which sees that they are, and
what knows their answers (addons/repeats.py).

Rule: an answer found here is the one that the whole chain would give at this moment; otherwise nothing is found.
"""

from typing import Protocol

from proxy.exchange.model import Exchange, Response
from proxy.wire.events import RequestHead

type Key = tuple[bytes, dict[str, str]]  # a call's digest; and its labels, which the digest may not know


class Replay(Protocol):
    """The answer to one call, ready to be sent over HTTP/1.1."""

    @property
    def head(self) -> bytes:
        """As `proxy.wire.http1.complete_head` makes it."""
        ...

    @property
    def body(self) -> bytes:
        """All of it."""
        ...

    def settle(
        self, labels: dict[str, str], call_id: str, started_at: float, first_byte_s: float, total_s: float
    ) -> None:
        """It was sent. `labels`: the call's. Seconds since the epoch, then from the request's last byte.

        Never raises."""
        ...


class Repeats(Protocol):
    """The answers that are known."""

    def may_know(self, body: bytes) -> bool:
        """False when no call with this body is known: `key` need not be asked for. Costs next to nothing."""
        ...

    def key(self, caller: bytes, head: RequestHead, body: bytes) -> Key | None:
        """The call's; None when it is too large to be looked for. `caller`: who asks and whom."""
        ...

    def find(self, key: Key, now: float) -> Replay | None:
        """The answer at this moment (seconds since the epoch), if it is known."""
        ...

    def remember(self, key: Key, exchange: Exchange, response: Response) -> None:
        """The chain has answered this call so. What is no plain hit is not kept."""
        ...
