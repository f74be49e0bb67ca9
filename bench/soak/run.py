"""Runs the load in stretches, with a look at what is held after each one.

Rules: in a stretch all clients act at once, drawn at random with a seed; meanwhile settings are reloaded, statistics
scraped and the cache emptied now and then. An act that hangs fails. Between stretches nothing is under way.
"""

import asyncio
import itertools
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.soak.acts import ACTS, Act, Numbers, World
from bench.soak.client import SlowAnswer, WrongAnswer
from bench.soak.http2 import multiplexed
from bench.soak.report import Outcome
from bench.soak.samples import Stats, Tolerance, growth
from bench.soak.scene import Scene, echo_server
from bench.soak.tally import Tally, differences
from bench.soak.trouble import TROUBLE

_ACT_S: Final = 90.0
_OPERATE_S: Final = 1.5
_LOGGED: Final = 10
_ALL: Final[tuple[tuple[Act, int], ...]] = (*ACTS, (multiplexed, 5), *TROUBLE)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how many, how often."""

    warm_up_s: float
    load_s: float
    looks: int
    clients: int
    seed: int


async def soak(scene: Scene, plan: Plan, tolerance: Tolerance, say: Callable[[str], None]) -> Outcome:
    """Warm up, look, and then load and look again and again. Raises BenchFailed when the proxy is gone."""
    tally = Tally()
    looks: list[tuple[float, Stats]] = []
    reloads = told = 0
    async with echo_server() as tunnel_port:
        world = World(
            port=scene.port,
            tunnel_port=tunnel_port,
            trust=scene.trust("http/1.1"),
            trust_h2=scene.trust("h2"),
            tally=tally,
            random=random.Random(plan.seed),
            numbers=Numbers(),
        )
        stretch_s = plan.load_s / plan.looks
        for number, seconds in enumerate([plan.warm_up_s, *[stretch_s] * plan.looks]):
            reloads += await _stretch(scene, world, plan.clients, seconds)
            stats = await scene.settle()
            for text in tally.texts[told:]:
                say(f"wrong: {text}")
            told = len(tally.texts)
            looks.append((number * stretch_s / 60, stats))
            say(
                f"after {number * stretch_s / 60:.1f} minutes: {stats.resident_mib:.1f} MiB, {stats.open_files} files, "
                f"{stats.threads} threads, {tally.asked.total():,} calls, {tally.wrong} wrong"
            )
    return Outcome(
        minutes=plan.load_s / 60,
        looks=tuple(looks),
        acts=dict(tally.acts),
        asked=dict(tally.asked),
        tunnelled_bytes=tally.tunnelled_bytes,
        reloads=reloads,
        grown=tuple(growth(looks[0][1], looks[-1][1], tolerance)),
        miscounted=tuple(differences(tally.asked, tally.doubtful, scene.recorded())),
        slow=tally.slow,
        wrong=tally.wrong,
        wrong_texts=tuple(tally.texts),
        logged_errors=tuple(scene.errors()[:_LOGGED]),
    )


async def _stretch(scene: Scene, world: World, clients: int, seconds: float) -> int:
    """All clients act until the time is over; returns how often settings were reloaded."""
    stop_at = time.monotonic() + seconds
    operator = asyncio.create_task(_operate(scene, stop_at))
    await asyncio.gather(*[_client(world, stop_at) for _ in range(clients)])
    return await operator


async def _client(world: World, stop_at: float) -> None:
    acts = [act for act, _ in _ALL]
    weights = list(itertools.accumulate(weight for _, weight in _ALL))
    while time.monotonic() < stop_at:
        (act,) = world.random.choices(acts, cum_weights=weights)
        await _act(world, act)


async def _act(world: World, act: Act) -> None:
    name = act.__name__
    world.tally.acts[name] += 1
    try:
        async with asyncio.timeout(_ACT_S):
            await act(world)
    except SlowAnswer:
        world.tally.slow += 1
    except WrongAnswer as failure:
        world.tally.failed(name, str(failure))
    except (OSError, ssl.SSLError, EOFError, ValueError, KeyError) as failure:
        world.tally.failed(name, repr(failure))


async def _operate(scene: Scene, stop_at: float) -> int:
    """Reloads, scrapes and the like; ends with the settings that it began with."""
    reloads = 0
    while time.monotonic() < stop_at:
        await asyncio.sleep(min(_OPERATE_S, max(0.0, stop_at - time.monotonic())))
        reloads += 1
        scene.configure(reloads % 4)
        await asyncio.to_thread(scene.scrape)
        if reloads % 7 == 0:
            await asyncio.to_thread(scene.clear_cache)
    scene.configure(0)
    return reloads + 1
