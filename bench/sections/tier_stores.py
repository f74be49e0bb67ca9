"""Of the section `tiers`: the stores by themselves. What an answer takes, and what one look-up costs."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from bench.field import Run
from bench.figures import Spread, ratios, spread
from bench.line_plots import Line, Panel, line_svg
from bench.report import Check, Picture, Table
from bench.tiers import children, lookups, sizes
from bench.tiers.lookups import Costs
from bench.tiers.redis_server import MISSING, RedisServer
from bench.tiers.sizes import FORMS, PLAIN, ZSTD, Sizes

MAX_GROWTH: Final = 1.3
_GIB: Final = 1 << 30
_ENTRIES: Final = (1_000, 10_000, 100_000, 1_000_000)
_IN_MEMORY: Final = (PLAIN, ZSTD)
_ROUNDS: Final = 19  # look-ups take no time once stores are filled
_US: Final = 1000.0


def take(run: Run, redis: RedisServer | None) -> Sizes:
    """What answers take."""
    found = children.found_by(
        sizes.FORMAT, "bench.tiers.sizes", run.directory / "sizes.json", [str(redis.port if redis else 0)]
    )
    if redis is not None:
        redis.empty()
    return found


def size_tables(found: Sizes) -> list[Table]:
    """One for each tier: a row for each kind, how many of them are in a GiB."""
    return [_size_table(found, tier) for tier in ("memory", "Redis", "disk")]


def _size_table(found: Sizes, tier: str) -> Table:
    each = {(one.kind, one.form): one.each_bytes for one in found.taken if one.tier == tier}
    forms = [form for form in FORMS if any(form == known for _, known in each)]
    heads = (f"answers in a GiB: {tier}", "body, bytes", *(forms or ["–"]))
    if not each:
        return Table(heads, (("not measured: " + MISSING, "–", "–"),))
    rows = [
        (kind, f"{body:,.0f}", *[_in_a_gib(each[kind, form], each[kind, PLAIN]) for form in forms])
        for kind, body in found.bodies.items()
    ]
    return Table(heads, tuple(rows))


def _in_a_gib(each_bytes: float, plain_bytes: float) -> str:
    count = f"{_GIB / each_bytes:,.0f}"
    return count if each_bytes == plain_bytes else f"{count} (× {plain_bytes / each_bytes:.2f})"


# -- look-ups

type Found = dict[str, Costs]  # by tier


def look_up(run: Run, redis: RedisServer | None) -> Found:
    """All tiers, one after another. Quick runs leave the largest number of entries out."""
    entries = _ENTRIES[:-1] if run.scale.rounds < 3 else _ENTRIES
    found: Found = {}
    for tier in lookups.TIERS:
        if tier == "Redis" and redis is None:
            continue
        arguments = [tier, str(_ROUNDS), str(redis.port if redis else 0), *map(str, entries)]
        found[tier] = children.found_by(
            lookups.FORMAT, "bench.tiers.lookups", run.directory / f"{tier}.json", arguments
        )
        if redis is not None:
            redis.empty()
        run.say(f"{tier}: {', '.join(f'{size:,}: {median(ns) / _US:.2f} µs' for size, ns in found[tier].hit.items())}")
    return found


def lookup_table(found: Found) -> Table:
    """A row for each tier, hits and misses."""
    entries = list(found["memory"].hit)
    rows = []
    for tier, costs in found.items():
        for kind, by_size in (("hit", costs.hit), ("miss", costs.miss)):
            cells = [spread([ns / _US for ns in by_size[size]]).show(2) for size in entries]
            rows.append((f"{tier}, {kind}", *cells, growth(by_size).show(2)))
    if "Redis" not in found:
        rows.append(("Redis", f"not measured: {MISSING}", *["–"] * len(entries)))
    return Table(("one look-up, µs, entries", *[f"{size:,}" for size in entries], "growth"), tuple(rows))


def _cheapest(by_size: Mapping[int, Sequence[float]]) -> Sequence[float]:
    return min(by_size.values(), key=median)


def growth(by_size: Mapping[int, Sequence[float]]) -> Spread:
    """The cost at the largest size over that at the cheapest one, round by round."""
    return ratios(by_size[max(by_size)], _cheapest(by_size))


def flat_check(what: str, by_size: Mapping[int, Sequence[float]], call_us: float) -> Check:
    """Does a call that takes `call_us` stay flat? `what` looks up in it."""
    added_us = (median(by_size[max(by_size)]) - median(_cheapest(by_size))) / _US
    grown = (call_us + added_us) / call_us
    alone = growth(by_size).show(1)
    return Check(
        f"{what} with {max(by_size):,} entries: at most {MAX_GROWTH:g} times the call's CPU with the cheapest number",
        f"{grown:.2f} by sum: {added_us:.2f} µs on {call_us:.0f} µs; the look-up by itself {alone}",
        grown <= MAX_GROWTH,
    )


def filter_remark(costs: Costs) -> str:
    """What the disk's misses leave out."""
    shares = ", ".join(f"{share:.2%} with {size:,}" for size, share in costs.unsure.items())
    return (
        "The disk's misses are those that its filter answers, without a look into the file. It let pass what is not "
        f"there: {shares} entries; each of those costs what a hit costs."
    )


def lookup_plot(found: Found) -> Picture:
    """Hits and misses, a line for each tier."""
    panels = [
        Panel(f"{kind}, µs", tuple(_line(tier, by_size) for tier, by_size in of_tier.items()), 0.05)
        for kind, of_tier in (
            ("hit", {tier: costs.hit for tier, costs in found.items()}),
            ("miss", {tier: costs.miss for tier, costs in found.items()}),
        )
    ]
    title = "One look-up in a tier"
    return Picture("tiers.svg", title, line_svg(title, "entries in the tier", panels))


def _line(tier: str, by_size: Mapping[int, Sequence[float]]) -> Line:
    return Line(tier, tuple((float(size), median(ns) / _US) for size, ns in by_size.items()))
