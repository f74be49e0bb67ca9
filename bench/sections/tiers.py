"""Section: the cache's tiers beside memory alone, what they hold, and what one look-up costs."""

import os
import tempfile
from pathlib import Path
from statistics import median

from bench.field import Run
from bench.report import Section
from bench.sections.calls import CONNECTIONS
from bench.sections.tier_calls import MEMORY, MISSES_ALL, SIZES, hit_tables, hits, miss_table, misses
from bench.sections.tier_promotion import promotions
from bench.sections.tier_stores import (
    filter_remark,
    flat_check,
    look_up,
    lookup_plot,
    lookup_table,
    size_tables,
    take,
)
from bench.tiers.redis_server import MISSING, core, is_installed, redis_server


def run(run: Run) -> Section:
    """Whole calls first, then the stores by themselves."""
    with redis_server(Path(tempfile.mkdtemp(dir=run.directory))) as redis:
        hit = hits(run, redis)
        missed = misses(run, redis)
        promoted, promotes = promotions(run, redis)
        if redis is not None:
            redis.empty()
        taken = take(run, redis)
        costs = look_up(run, redis)
    hit_us = median([one.cpu_us for one in hit.many[SIZES[0]][MEMORY]])
    miss_us = median([one.cpu_us for one in missed.many[MISSES_ALL]])
    return Section(
        name="tiers",
        title="Tiers of the cache",
        method=_method(),
        tables=(*hit_tables(hit), miss_table(missed), promoted, *size_tables(taken), lookup_table(costs)),
        checks=(
            promotes,
            flat_check("a hit in memory", costs["memory"].hit, hit_us),
            flat_check("a miss in memory", costs["memory"].miss, miss_us),
            flat_check("a miss that the disk's filter answers", costs["disk"].miss, miss_us),
        ),
        remarks=(
            (
                "Redis and disk are measured with no memory tier, so that no call is answered before them; as they are "
                "installed, memory answers every call but the first of an answer. Without a memory tier there is no "
                "short way of a repeated hit either."
            ),
            (
                "`shared by two workers`: both on the proxy's one core. Opened lately: each has the answer ready; "
                "stored by one and opened by either: more answers than they keep ready, so that every call reads the "
                "shared memory and opens the entry."
            ),
            (
                "In each tier the last form of the row is what it keeps at most: memory compresses bodies; Redis whole "
                "entries, without a dictionary, as another replica could not open it; disk with one, once it has seen "
                "enough answers. `× n` is to the plain form of the same row."
            ),
            (
                "By itself a look-up in memory grows with the entries because they no longer fit into the processor's "
                "caches: keys are asked for in no order, which is the worst case. The target is a call's, judged by "
                "the sum of what was measured here; section `growth` measures whole calls."
            ),
            filter_remark(costs["disk"]),
        ),
        pictures=(lookup_plot(costs),),
    )


def _method() -> str:
    where = f"Redis runs {core(os.cpu_count() or 1)[1]}." if is_installed() else f"Redis: {MISSING}."
    return (
        f"Hits from one tier alone, {CONNECTIONS} connections and one, over CONNECT and TLS, by turns of the same "
        f"answers, beside hits from memory in alternating rounds; {where} Misses of all tiers, by which tiers there "
        "are. Where a call after a restart is answered from. How many answers of several kinds are in a GiB: of "
        "memory as the tier counts it, of Redis's `used_memory` (without the buffers of connections), of the closed "
        "file (without the dictionary, which is there once). One look-up, inside one process, one after another, of "
        "keys in no order, with the store filled beforehand; growth is the largest number of entries over the cheapest."
    )
