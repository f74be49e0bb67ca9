"""Of the section `tiers`: what was found in a slower tier is answered from memory the next time."""

import tempfile
import time
from pathlib import Path
from typing import Final

from bench.closed_loop import Loop
from bench.contestants import Skinflint
from bench.field import Run
from bench.report import Check, Table
from bench.sections.tier_calls import NO_DISK, WRITTEN_S, with_absent
from bench.tiers.redis_server import MISSING, RedisServer
from bench.tiers.told import answered_from, look
from bench.work import Requests

_CALL_S: Final = 10.0


def promotions(run: Run, redis: RedisServer | None) -> tuple[Table, Check]:
    """An answer is stored; the proxy starts again; where are two more calls for it answered from?"""
    heads = ("kept in", "first call", "after a restart", "once more")
    ways: list[tuple[str, tuple[str, ...]]] = [("disk", ())]
    if redis is not None:
        url = f"cache.redis.url={redis.tcp_url()}"
        ways.append(("redis", (NO_DISK, url, "cache.redis.prefix=bench-promotion")))
    found = {tier: _answered(run, settings) for tier, settings in ways}
    absent = {} if redis is not None else {"redis": f"not measured: {MISSING}"}
    table = with_absent(heads, [(tier, *answered) for tier, answered in found.items()], absent)
    is_met = all(answered == ("upstream", tier, "memory") for tier, answered in found.items())
    told = "; ".join(f"{tier}: {', '.join(answered[1:])}" for tier, answered in found.items())
    return table, Check("an answer found in a slower tier: the next call has it from memory", told, is_met)


def _answered(run: Run, settings: tuple[str, ...]) -> tuple[str, ...]:
    directory = Path(tempfile.mkdtemp(dir=run.directory))
    stored = _ask(run, directory, settings, calls=1)
    return *stored, *_ask(run, directory, settings, calls=2)


def _ask(run: Run, directory: Path, settings: tuple[str, ...], *, calls: int) -> list[str]:
    proxy = Skinflint(settings=settings)
    try:
        target = proxy.start(run.upstream, directory)
        answered = []
        for _ in range(calls):
            before = look(target.admin)
            with Loop(target, 1, Requests(), iter((0,))) as loop:
                loop.run(_CALL_S)
            answered.append(answered_from(before, look(target.admin)))
        time.sleep(WRITTEN_S)
        return answered
    finally:
        proxy.stop()
