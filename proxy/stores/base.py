"""What a cache tier keeps, and how it is asked.

Rules: an entry is a complete, successful answer, as the origin sent it: same status, fields and body bytes. Its body is
zstd-compressed here unless the origin had already compressed it. Stores never raise for a key they do not have. Those
outside this process raise StoreUnavailableError, and nothing else, for what they cannot do now.
"""

import sys
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

import zstandard

from proxy.exchange.headers import HeaderList
from proxy.exchange.usage import Usage

UNKNOWN: Final = -1  # in a tier's figures: not to be had without asking others

_MIN_PACKED = 512  # below this zstd saves next to nothing, and unpacking costs a microsecond
LEVEL: Final = 1  # at 4 KB two thirds of what 3 takes, at 16 KB half, for 1 % more bytes
SHORT_BYTES: Final = 2048
SHORT_LEVEL: Final = -1  # at 1 KB under half of what 1 takes, to pack and to unpack; the entry is 3 to 5 % larger
# Contexts are costly to make (a tenth of a hit) and serve one call at a time: for the event loop's thread alone.
_PACKER = zstandard.ZstdCompressor(level=LEVEL)
_SHORT_PACKER = zstandard.ZstdCompressor(level=SHORT_LEVEL)
_UNPACKER = zstandard.ZstdDecompressor()
# Asked of Python once: asking for each object takes ten times as long as adding lengths up. Besides the texts
# themselves: a field with its place in a list; an entry with its usage, texts, times, key and list.
_FIELD_BYTES: Final = sys.getsizeof((b"", b"")) + 2 * sys.getsizeof(b"") + 8


class StoreUnavailableError(Exception):
    """A tier cannot answer, or not in time. Its text names no key, answer or credential."""


@dataclass(slots=True, weakref_slot=True)
class Entry:
    """One answer, not to be changed (`frozen` would double what making one costs). `packed`: the body is a zstd frame
    around the bytes that were received.

    What rules of invalidation and the operators look at stands in it: see rules.py for `epoch`.
    """

    status: int
    headers: HeaderList = field(repr=False)
    body: bytes = field(repr=False)
    packed: bool
    stored_at: float  # seconds since the epoch
    ttl_s: float
    provider: str
    operation: str
    model: str
    usage: Usage | None = None
    cost_nanousd: int | None = None
    epoch: int = 0  # the highest stamp of a rule that was known when its upstream call began
    took_ms: int = 0  # that call, from its start to its last byte
    namespace: str = ""
    tags: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    credential: str = ""  # the caller's digest, 12 hexadecimal digits
    sensitive: bool = False  # not to be written outside this machine's memory in the clear

    def age(self, now: float) -> float:
        """Seconds since it was received."""
        return max(0.0, now - self.stored_at)

    def original(self) -> bytes:
        """The body's bytes as they were received."""
        return _UNPACKER.decompress(self.body) if self.packed else self.body


_ENTRY_BYTES: Final = (
    sys.getsizeof(Entry(200, [], b"", False, 0.0, 0.0, "", "", "")) + sys.getsizeof(Usage())
    + 2 * sys.getsizeof(b"") + sys.getsizeof("") + sys.getsizeof([]) + 4 * sys.getsizeof(0.0)
)  # fmt: skip


def pack(body: bytes, content_encoding: bytes | None) -> tuple[bytes, bool]:
    """The body as an entry keeps it, and whether it was compressed for that."""
    if content_encoding or len(body) < _MIN_PACKED:
        return body, False
    # Copied: what zstandard gives keeps the room that it was compressed in, more than the plain bytes took.
    packed = memoryview((_PACKER if len(body) > SHORT_BYTES else _SHORT_PACKER).compress(body)).tobytes()
    return (packed, True) if len(packed) < len(body) else (body, False)


def size_of(entry: Entry, key: bytes) -> int:
    """Everything that holding this entry takes, in bytes, Python's own overhead included."""
    total = _ENTRY_BYTES + len(key) + len(entry.body) + len(entry.model) + len(entry.headers) * _FIELD_BYTES
    total += sum([len(name) + len(value) for name, value in entry.headers])
    for text in (*entry.tags, *entry.labels, *entry.labels.values()):
        total += sys.getsizeof(text)
    return total + 200  # the place in the table: a key, a link in the order and their pointers


@dataclass(frozen=True, slots=True)
class StoreStats:
    """A tier's state, for /v1/stats and the metrics. Figures may be UNKNOWN."""

    tier: str
    entries: int
    used_bytes: int
    limit_bytes: int
    evicted: int
    hits: int = 0
    misses: int = 0
    failures: int = 0  # requests that it could not answer
    is_up: bool = True


@runtime_checkable
class Peeking(Protocol):
    """A store that can say at once what some of its keys hold."""

    def peek(self, key: bytes) -> Entry | None:
        """What `get` would give, the same object each time; None also when that is not known without waiting."""
        ...


@runtime_checkable
class Offered(Protocol):
    """A store outside this process whose `put` never waits."""

    def offer(self, key: bytes, entry: Entry) -> None:
        """As `put`."""
        ...


class Store(Protocol):
    """One tier. Those outside this process may raise StoreUnavailableError wherever they are awaited."""

    async def get(self, key: bytes) -> Entry | None:
        """The entry, fresh or not; the caller judges its age."""
        ...

    async def put(self, key: bytes, entry: Entry) -> None:
        """Keep it, replacing an older one."""
        ...

    async def delete(self, key: bytes) -> bool:
        """Forget it; False if it was not there."""
        ...

    async def clear(self) -> int:
        """Forget everything; returns how many entries that were."""
        ...

    def stats(self) -> StoreStats:
        """State, cheaply."""
        ...
