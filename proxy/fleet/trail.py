"""Looking at what a flight's leader left in Redis: whether it still holds its claim, and what stands in its stream.

Rules: looked at once, soon again (what came between the look and the channel), and then now and then; each look is one
call a page.
"""

import time
from dataclasses import dataclass, field
from typing import Final

from proxy.fleet.claims import Claim, Names
from proxy.fleet.connection import Reply
from proxy.fleet.errors import RedisUnavailableError
from proxy.fleet.link import RedisLink, Script

_PAGE: Final = 16  # messages; one is half a MiB at most
_SOON_S: Final = 0.05
_LOOKS_PER_LEASE: Final = 8

_LOOK: Final = Script("""
return {redis.call('GET', KEYS[1]) or '', redis.call('XRANGE', KEYS[2], ARGV[1], '+', 'COUNT', ARGV[2])}
""")


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a look showed. `is_held`: the leader has its claim; None: Redis did not answer. `is_more`: of messages."""

    is_held: bool | None
    messages: list[tuple[bytes, bytes]] = field(default_factory=list, repr=False)
    is_more: bool = False


_NOTHING: Final = Sighting(is_held=None)


class Trail:
    """Of one flight."""

    def __init__(self, link: RedisLink, names: Names, leader: Claim, lease_s: float) -> None:
        self._link = link
        self._names = names
        self._claim = bytes(leader)
        self._every_s = lease_s / _LOOKS_PER_LEASE
        self._due_at = time.monotonic()
        self._wait_s = _SOON_S
        self._after = b""  # the last message of the stream that has been taken

    @property
    def is_at_start(self) -> bool:
        """The next look begins with the first message that is there."""
        return not self._after

    def is_due(self, now: float) -> bool:
        """It is time to look."""
        return now >= self._due_at

    def due_in_s(self, now: float) -> float:
        """How long until then."""
        return max(0.0, self._due_at - now)

    def reached(self, id_: bytes) -> None:
        """This message has been taken."""
        self._after = id_

    def start_over(self) -> None:
        """Look from the first message on."""
        self._after = b""

    def postpone(self, now: float) -> None:
        """There is less need to look: the leader was heard."""
        self._due_at = now + self._wait_s

    async def look(self) -> Sighting:
        """What is there now, a page of it."""
        self._due_at, self._wait_s = time.monotonic() + self._wait_s, self._every_s
        start = b"(" + self._after if self._after else b"-"
        try:
            reply = await self._link.run(_LOOK, (self._names.claim, self._names.stream), (start, _PAGE))
            messages = _messages(reply)
        except RedisUnavailableError:
            return _NOTHING
        is_held = isinstance(reply, list) and reply[0] == self._claim
        return Sighting(is_held, messages, is_more=len(messages) == _PAGE)


def _messages(reply: Reply) -> list[tuple[bytes, bytes]]:
    found = []
    match reply:
        case [bytes(), list(items)]:
            for item in items:
                match item:
                    case [bytes(id_), [bytes(), bytes(message)]]:
                        found.append((id_, message))
                    case _:
                        raise RedisUnavailableError("protocol_error")
            return found
    raise RedisUnavailableError("protocol_error")
