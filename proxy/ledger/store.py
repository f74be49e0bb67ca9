"""What the writer needs of a ledger's store: appends rows, deletes old ones. Used by one thread at a time.

Rules: every failure comes out as a StoreError; after one the store is closed and opened anew. A row whose identifier is
already there counts as written, so that a batch may be sent twice. A row that the database refuses does not keep the
others from being written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from proxy.exchange.record import CallRecord


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch. Refused rows will never be accepted: they are lost."""

    rows: int
    refused: int = 0


class RowStore(Protocol):
    """What the writer needs of a store. All three raise StoreError."""

    def write(self, rows: Sequence[CallRecord]) -> Written:
        """Append the rows, all in one transaction, or raise and append none."""
        ...

    def prune(self, before: float, limit: int) -> int:
        """Delete at most `limit` rows that started before `before`; returns how many."""
        ...

    def close(self) -> None:
        """Let the database go. Never raises."""
        ...
