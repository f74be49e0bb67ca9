"""What one look-up costs in a tier that holds so much: found from inside a process, for one tier.

Run as `python -m bench.tiers.lookups OUT TIER ROUNDS REDIS_PORT SIZE…`. Rules: one look-up after another, of keys in no
order, other ones in every round; rounds visit all sizes in turn. Of the disk's misses those are timed that its filter
answers, and how many it does not is told.
"""

import argparse
import contextlib
import gc
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvloop
from pydantic import TypeAdapter

from bench.processes import PROXY_CORE, pin
from bench.tiers import fills
from bench.tiers.children import leave
from proxy.stores.base import Store

TIERS: Final = ("memory", "arena", "disk", "Redis")
_FAST: Final = 1_000  # look-ups of a round
_SLOW: Final = 200  # where each waits for a thread or a server


@dataclass(slots=True)
class Costs:
    """Nanoseconds of a look-up, one figure a round, by size."""

    hit: dict[int, list[float]] = field(default_factory=dict)
    miss: dict[int, list[float]] = field(default_factory=dict)
    unsure: dict[int, float] = field(default_factory=dict)  # share of the disk's misses that its filter let pass


FORMAT: Final = TypeAdapter(Costs)


@dataclass(frozen=True, slots=True)
class Asked:
    """A filled store, and what it is asked."""

    size: int
    store: Store
    present: list[bytes]
    absent: list[bytes]


async def measured(tier: str, sizes: Sequence[int], rounds: int, directory: Path, port: int) -> Costs:
    """Fill, then time."""
    costs = Costs()
    gc.disable()  # it would look through what is filled again and again
    async with contextlib.AsyncExitStack() as stack:
        asked = []
        for place, size in enumerate(sizes):
            store = await stack.enter_async_context(_filled(tier, size, directory, port, place))
            asked.append(await _asked(tier, size, store, costs))
        for number in range(rounds + 1):  # the first one warms up
            for each in asked:
                hit = await _timed(each.store, _slice(each.present, number, _FAST if tier in TIERS[:2] else _SLOW))
                miss = await _timed(each.store, _slice(each.absent, number, _SLOW if tier == "Redis" else _FAST))
                if number:
                    costs.hit.setdefault(each.size, []).append(hit)
                    costs.miss.setdefault(each.size, []).append(miss)
    return costs


def _filled(tier: str, size: int, directory: Path, port: int, place: int) -> AbstractAsyncContextManager[Store]:
    match tier:
        case "memory":
            return fills.memory(size)
        case "arena":
            return fills.arena(size)
        case "disk":
            return fills.disk(size, directory)
        case _:
            return fills.redis(size, port, place)


async def _asked(tier: str, size: int, store: Store, costs: Costs) -> Asked:
    present, absent = fills.sampled(size), fills.absent(size)
    for key in present[:: max(1, len(present) // 100)]:
        if await store.get(key) is None and tier != "arena":  # whose buckets may be full here and there
            raise LookupError("an entry that was put is not there")
    if tier == "disk":
        sure = await fills.at_once(store, absent)
        costs.unsure[size] = 1 - len(sure) / len(absent)
        absent = sure
    return Asked(size, store, present, absent)


def _slice(keys: Sequence[bytes], number: int, count: int) -> list[bytes]:
    """So many of them, others for each number while there are."""
    return [keys[at % len(keys)] for at in range(number * count, (number + 1) * count)]


async def _timed(store: Store, keys: Sequence[bytes]) -> float:
    get = store.get
    started = time.perf_counter_ns()
    for key in keys:
        await get(key)
    return (time.perf_counter_ns() - started) / len(keys)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("tier", choices=TIERS)
    parser.add_argument("rounds", type=int)
    parser.add_argument("port", type=int)
    parser.add_argument("sizes", type=int, nargs="+")
    arguments = parser.parse_args()
    pin(PROXY_CORE)
    with tempfile.TemporaryDirectory(dir=arguments.out.parent) as directory:
        work = measured(arguments.tier, arguments.sizes, arguments.rounds, Path(directory), arguments.port)
        costs = uvloop.run(work)
    leave(arguments.out, FORMAT.dump_json(costs))


if __name__ == "__main__":
    main()
