"""What the disk tier's writer is asked to do, and what is in its file."""

import asyncio
import threading
from dataclasses import dataclass
from typing import Final

from proxy.stores.base import Entry

ROW_BYTES: Final = 120  # key, indexes and the row's own head, on average


@dataclass(slots=True)  # Row and Put are made for every answer: see proxy.stores.base.Entry for why they are not frozen
class Row:
    """An entry, sealed."""

    key: bytes
    content: bytes
    used_at: int
    keep_until: int

    @property
    def size(self) -> int:
        """What it takes, nearly."""
        return len(self.content) + ROW_BYTES


@dataclass(frozen=True, slots=True)
class Totals:
    """What is in the file."""

    entries: int
    used_bytes: int


@dataclass(slots=True, eq=False)
class Put:
    """Keep an entry."""

    key: bytes
    entry: Entry


@dataclass(frozen=True, slots=True)
class Delete:
    """Forget an entry; answered with whether it was there, if somebody asks."""

    key: bytes
    asked: asyncio.Future[int] | None = None


@dataclass(frozen=True, slots=True)
class Clear:
    """Forget all; answered with how many that were."""

    asked: asyncio.Future[int]


@dataclass(frozen=True, slots=True)
class Reached:
    """Somebody waits until all that came before is done."""

    event: threading.Event


type Order = Put | Delete | Clear | Reached
type Step = Row | Delete | Clear  # an order as it is carried out: what is put is sealed already
