"""Section: answers from the cache."""

from typing import Final

from bench.contestants import Contestant, Direct, Skinflint, hit_share
from bench.failures import BenchFailed
from bench.field import Field, Run
from bench.report import Section
from bench.sections.calls import CONNECTIONS, Rounds, load_remark, rate_checks, table
from bench.sections.plots import rate_plot
from bench.work import ANSWER_BYTES, Requests

_SIZES: Final = (ANSWER_BYTES, 10 * 1024, 100 * 1024)
_TARGETS: Final = {"stock mitmdump": 12.0, "Portkey, no cache": 12.0, "LiteLLM": 60.0, "nginx": 0.35}
_ALL_BUT_THE_FIRST: Final = 0.99


def run(run: Run) -> Section:
    """16 connections, the same call again and again, for answers of three sizes."""
    direct, ours = Direct(), Skinflint()
    logging = Skinflint("Skinflint, info log", log_level="info")
    through = Skinflint("Skinflint, each through the chain", settings=("cache.memory.repeats_max_bytes=0",))
    contestants: list[Contestant] = [direct, ours, logging, through, *run.rivals("hit")]
    with run.field(contestants, repeating=contestants) as field:
        measured = {size: _rounds(run, field, size) for size in _SIZES}
        _prove_hits(field)
    smallest = measured[ANSWER_BYTES]
    return Section(
        name="hits",
        title="Answers from the cache",
        method=(
            f"{CONNECTIONS} connections, closed loop, identical calls of 1 KB with answers of 1, 10 and 100 KB. "
            "Skinflint answers from its memory tier, mitmdump from an addon that sets `flow.response`, LiteLLM from "
            "its local cache, nginx from `proxy_cache` of POST keyed on path, key and body; `direct` has no proxy and "
            "is the upstream's own speed."
        ),
        tables=tuple([table(f"{size // 1024} KB", measured[size], field, ours.name) for size in _SIZES]),
        checks=tuple(rate_checks("hits of 1 KB", _TARGETS, smallest, field, ours.name)),
        remarks=(
            load_remark(smallest, direct.name),
            (
                "Skinflint answers a call that says the same as a hit before by a short way; one row has that turned "
                "off, and shows what the first hit of each call costs, and every hit over HTTP/2."
            ),
            (
                "mitmdump's addon looks at the size that is asked for and always gives the same bytes, nginx compares "
                "the body with nothing but its own key; Skinflint reads the request, finds its fingerprint, obeys "
                "Cache-Control, and meters and records the call."
            ),
        ),
        pictures=(rate_plot("hits", "Answers of 1 KB from the cache", smallest, ours.name, _TARGETS),),
    )


def _rounds(run: Run, field: Field, size: int) -> Rounds:
    return run.compare(
        field,
        CONNECTIONS,
        lambda target: Requests(answer_bytes=size, headers=target.headers),
        seconds=run.scale.seconds if size == ANSWER_BYTES else run.scale.seconds / 2,
    )


def _prove_hits(field: Field) -> None:
    shares = [hit_share(entrant.target.admin) for entrant in field.entrants if entrant.target.admin]
    if min(shares) < _ALL_BUT_THE_FIRST:
        raise BenchFailed(f"not all calls were hits: {shares}")
