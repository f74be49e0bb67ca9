"""Section: what a proxy adds to one call."""

from collections.abc import Mapping
from typing import Final

from bench.contestants import NO_CACHE, Contestant, Direct, Mitmdump, Skinflint
from bench.field import Run
from bench.figures import Spread, differences, spread
from bench.report import Check, Section, Table
from bench.rivals.base import Rival, Work
from bench.work import Requests

_HIT_MS: Final = 0.12
_FORWARD_MS: Final = 0.4


def run(run: Run) -> Section:
    """One connection, one call after another."""
    direct = Direct()
    hit, forward = Skinflint("Skinflint, hit"), Skinflint("Skinflint, forward", settings=NO_CACHE)
    hits, forwards = _named(run, "hit"), _named(run, "forward")
    with run.field([direct, hit, forward, *hits, *forwards], repeating=[hit, *hits]) as field:
        measured = run.compare(field, 1, lambda target: Requests(headers=target.headers), seconds=run.scale.seconds / 2)
    medians = {name: [one.p50_ms for one in rounds] for name, rounds in measured.items()}
    added = {name: differences(values, medians[direct.name]) for name, values in medians.items()}
    rows = [
        (
            name,
            field.ways[name],
            spread(medians[name]).show(3),
            "–" if name == direct.name else added[name].show(3),
            spread([one.p99_ms for one in rounds]).show(3),
        )
        for name, rounds in measured.items()
    ]
    rows += [(name, "–", reason, "–", "–") for name, reason in field.absent.items()]
    return Section(
        name="latency",
        title="Added latency",
        method=(
            "One connection, one call after another, 1 KB each way. A hit is compared with the direct way to the "
            "upstream, which answers at once; a real provider takes hundreds of milliseconds, which a hit saves."
        ),
        tables=(Table(("", "asked by", "p50, ms", "p50 less direct, ms", "p99, ms"), tuple(rows)),),
        checks=(
            _check("hit", _HIT_MS, added, hit.name),
            _check("forward", _FORWARD_MS, added, forward.name),
        ),
        remarks=("With one call at a time, most of the time is spent waking threads on both cores, not computing.",),
    )


def _named(run: Run, work: Work) -> list[Contestant]:
    """The rivals for this work, with its name in theirs; squid's rows for hits would only repeat that it has none."""
    found: list[Contestant] = []
    for rival in run.rivals(work):
        if isinstance(rival, Rival) and work == "hit" and not rival.caches:
            continue
        assert isinstance(rival, (Rival, Mitmdump))
        rival.name = f"{rival.name}, {work}"
        found.append(rival)
    return found


def _check(what: str, limit_ms: float, added: Mapping[str, Spread], name: str) -> Check:
    return Check(
        f"{what}: at most {limit_ms:g} ms added at p50", added[name].show(3, " ms"), added[name].median <= limit_ms
    )
