"""What the disk tier's writer is asked to do."""

import asyncio
import threading
from dataclasses import dataclass

from proxy.stores.base import Entry
from proxy.stores.disk_file import Row


@dataclass(frozen=True, slots=True)
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
