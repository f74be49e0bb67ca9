"""`python -m bench.eviction`: what the memory tiers keep of made-up traces, beside a plain LRU.

Rules: every trace is made from a fixed seed, so figures are the same on any machine. Sizes, prices and times are those
of answers; the bytes are zeros. The first fifth of a trace fills the tier and is not counted.
"""

import argparse
import asyncio
import hashlib
import math
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from proxy.stores.base import Entry, Store, StoreStats, size_of
from proxy.stores.memory import MemoryStore
from proxy.stores.popularity import Popularity
from proxy.stores.shared import SharedArena, SharedStore

_MIB: Final = 1 << 20
_ZEROS: Final = bytes(_MIB)
_KEYS: Final = 20_000
_WARMING: Final = 5  # one in so many calls is not counted


class Lru:
    """The yardstick: bounded by bytes, what was unused for longest goes first."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._used = 0

    async def get(self, key: bytes) -> Entry | None:
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    async def put(self, key: bytes, entry: Entry) -> None:
        size = size_of(entry, key)
        if size > self._limit // 8:
            return
        self._entries[key] = entry
        self._used += size
        while self._used > self._limit:
            gone, forgotten = self._entries.popitem(last=False)
            self._used -= size_of(forgotten, gone)

    async def delete(self, key: bytes) -> bool:
        return self._entries.pop(key, None) is not None

    async def clear(self) -> int:
        return 0

    def stats(self) -> StoreStats:
        return StoreStats("lru", len(self._entries), self._used, self._limit, 0)


@dataclass(frozen=True, slots=True)
class Trace:
    """Calls, and the answer that each would get."""

    name: str
    calls: list[tuple[bytes, Entry]]
    limit_bytes: int


def _answer(size: int, cost_nanousd: int, took_ms: int) -> Entry:
    body = _ZEROS[: min(_MIB, size) // 256 * 256]
    return Entry(200, [], body, False, 0.0, 60.0, "", "", "", None, cost_nanousd, 0, took_ms)


def _chat(rng: random.Random) -> Entry:
    size = min(64_000, int(rng.lognormvariate(math.log(4000), 0.9)) + 600)
    tokens = size // 4
    return _answer(size, (tokens + 50) * rng.choice([600, 600, 10_000]), 300 + tokens * rng.choice([5, 20]))


def _any_size(rng: random.Random) -> Entry:
    return _answer(int(10 ** rng.uniform(3, 6)), int(10 ** rng.uniform(4, 7.5)), int(10 ** rng.uniform(1.3, 4.3)))


def _element(rng: random.Random) -> Entry:
    return _answer(6600, rng.randrange(200, 4000), rng.randrange(10, 60)) if rng.random() < 0.75 else _chat(rng)


def _key(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def _zipf(rng: random.Random, count: int, exponent: float) -> list[int]:
    weights = list(accumulate((rank + 1) ** -exponent for rank in range(_KEYS)))
    return rng.choices(range(_KEYS), cum_weights=weights, k=count)


def _scanned(rng: random.Random, numbers: Sequence[int]) -> Iterator[int]:
    """Three in ten calls come once; so do rows of thousands."""
    once = 2 * _KEYS
    for at, number in enumerate(numbers):
        yield number
        for _ in range(_KEYS // 4 if at % (_KEYS // 2) == 0 else rng.random() < 0.3):
            yield once
            once += 1


def _looped(rng: random.Random, numbers: Sequence[int]) -> Iterator[int]:
    """Every other call is of a test suite that runs again and again, larger than the tier."""
    for at, number in enumerate(numbers):
        yield number if rng.random() < 0.5 else _KEYS + at // 2 % (_KEYS // 5)


def traces(count: int) -> Iterator[Trace]:
    """All of them, of so many calls or a few more."""
    for seed, (name, answer, exponent, limit_mib) in enumerate(
        [
            ("Zipf", _chat, 0.9, 8),
            ("Zipf and calls that never come again", _chat, 0.9, 8),
            ("drifting popularity", _chat, 1.0, 8),
            ("loops over more than fits", _chat, 0.9, 8),
            ("1 KB to 1 MB", _any_size, 0.9, 96),
            ("elements of embeddings among chats", _element, 0.8, 12),
        ]
    ):
        rng = random.Random(seed)
        numbers: Sequence[int] = _zipf(rng, count, exponent)
        if seed == 1:
            numbers = list(_scanned(rng, numbers))
        elif seed == 2:
            numbers = [number + at // 10 for at, number in enumerate(numbers)]
        elif seed == 3:
            numbers = list(_looped(rng, numbers))
        known = {number: (_key(number), answer(rng)) for number in sorted(set(numbers))}
        yield Trace(name, [known[number] for number in numbers], limit_mib * _MIB)


def _memory(limit_bytes: int) -> tuple[Store, Popularity]:
    popularity = Popularity()
    return MemoryStore(limit_bytes, popularity), popularity


STORES: Final[dict[str, Callable[[int], tuple[Store, Popularity]]]] = {
    "LRU": lambda limit: (Lru(limit), Popularity()),
    "memory": _memory,
    "shared": lambda limit: (SharedStore(SharedArena(limit), clock=lambda: 0.0), Popularity()),
}


async def ratios(trace: Trace, store: Store, popularity: Popularity) -> tuple[float, float, float, float]:
    """Hits by calls, by bytes, by dollars, by seconds of waiting."""
    hits, all_calls = [0, 0, 0, 0], [0, 0, 0, 0]
    for at, (key, answer) in enumerate(trace.calls):
        found = await store.get(key)
        if found is None:
            popularity.add(key)
            await store.put(key, answer)
        if at * _WARMING < len(trace.calls):
            continue
        for which, amount in enumerate((1, len(answer.body), answer.cost_nanousd or 0, answer.took_ms)):
            all_calls[which] += amount
            hits[which] += amount if found is not None else 0
    calls, size, money, time = (hit / whole for hit, whole in zip(hits, all_calls, strict=True))
    return calls, size, money, time


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.eviction", description="What the memory tiers keep.")
    parser.add_argument("--calls", type=int, default=60_000, help="of each trace")
    print("| trace | kept by | calls | bytes | dollars | waiting |\n|---|---|---|---|---|---|")
    for trace in traces(parser.parse_args().calls):
        for name, make in STORES.items():
            shares = asyncio.run(ratios(trace, *make(trace.limit_bytes)))
            print(f"| {trace.name} | {name} | {' | '.join(f'{share:.1%}' for share in shares)} |", flush=True)


if __name__ == "__main__":
    main()
