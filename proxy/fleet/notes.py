"""What replicas say to one another besides the answers themselves: that they want a flight, that they have enough of
it, that they do not lead it.

Rules: pure. Notes are repeated or replaced by deadlines, so that one that is lost does no harm.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

VERSION: Final = 1
_HEADER: Final = struct.Struct("!BBQ16s")
REPLICA_DIGITS: Final = 16


class Say(IntEnum):
    """What a note says."""

    WANTED = 1  # by a follower, which says so again and again for as long as it is there
    ENOUGH = 2
    REFUSED = 3  # by whoever was wanted


_SAYINGS: Final = {int(say): say for say in Say}


@dataclass(frozen=True, slots=True)
class Note:
    """About flight `number` of the replica that leads it. `replica`: who says it."""

    say: Say
    number: int
    replica: str
    key: bytes

    def __bytes__(self) -> bytes:
        return _HEADER.pack(VERSION, self.say, self.number, self.replica.encode()) + self.key


def read(message: bytes) -> Note | None:
    """None: not understood, which is like not heard."""
    if len(message) < _HEADER.size:
        return None
    version, number, flight, replica = _HEADER.unpack_from(message)
    if version != VERSION or number not in _SAYINGS or not replica.isalnum():
        return None
    return Note(_SAYINGS[number], flight, replica.decode("ascii", "replace"), message[_HEADER.size :])
