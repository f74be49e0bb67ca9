"""Section: memory over many calls, and over large ones."""

import contextlib
import socket
from typing import Final

from bench.answers import WholeReader
from bench.contestants import Skinflint
from bench.failures import BenchFailed
from bench.field import Run
from bench.mixed import Mixed
from bench.processes import resident_mib
from bench.report import Check, Section, Table
from bench.target import Target, connect
from bench.work import Requests, answer

type Looks = list[tuple[int, float]]  # after so many calls, so many MiB

_CLIENTS: Final = 32
_STEPS: Final = 10
_CACHE_BYTES: Final = 4 * 1024 * 1024
_PROMPT_BYTES: Final = 1_000_000
_MAX_GROWTH: Final = 0.05
_MAX_LARGE_MIB: Final = 100.0


def run(run: Run) -> Section:
    """Mixed calls, then large ones, with a look at resident memory after each tenth of them."""
    settings = (f"cache.memory.max_bytes={_CACHE_BYTES}",)
    with run.up(Skinflint(settings=settings)) as (target,):
        mixed = _mixed(run, target)
    with run.up(Skinflint(settings=settings)) as (target,):
        large = _large(run, target)
    base, last = mixed[2][1], max(value for _, value in mixed[-3:])
    growth = last / base - 1
    held = max(value for _, value in large) - large[0][1]
    return Section(
        name="memory",
        title="Memory over many calls",
        method=(
            f"{_CLIENTS} clients make {run.scale.mixed_calls:,} calls to one process: 60 % hits, 30 % misses that are "
            "stored, 8 % streams, 2 % clients that leave in the middle of a stream. The cache is bounded at "
            f"{_CACHE_BYTES // 1024**2} MiB, so that it is full before the second look; ledger and metrics are on. "
            f"Then, in a new process, one client makes {run.scale.large_calls:,} calls that all differ, prompts of "
            f"{_PROMPT_BYTES / 1e6:g} MB: of these nothing may stay but what the cache keeps."
        ),
        tables=(_table("mixed calls", mixed), _table("large calls", large)),
        checks=(
            Check(
                f"flat memory: at most {_MAX_GROWTH:.0%} more at the end than after a fifth of the calls",
                f"{growth:+.1%} ({base:.1f} to {last:.1f} MiB)",
                growth <= _MAX_GROWTH,
            ),
            Check(
                f"large prompts: never more than {_MAX_LARGE_MIB:.0f} MiB above the start",
                f"{held:.0f} MiB",
                held <= _MAX_LARGE_MIB,
            ),
        ),
        remarks=("The end of the mixed calls is the largest of the last three looks.",),
    )


def _mixed(run: Run, target: Target) -> Looks:
    calls, looks = run.scale.mixed_calls, _begin(target)
    with contextlib.closing(Mixed(target, _CLIENTS, run.numbers)) as mixed:
        mixed.run(calls, lambda done: _look(run, target, looks, done), calls // _STEPS)
    return looks


def _large(run: Run, target: Target) -> Looks:
    calls, looks = run.scale.large_calls, _begin(target)
    requests = Requests(prompt_bytes=_PROMPT_BYTES)
    with contextlib.closing(connect(target, target.context())) as wrapped:
        wrapped.setblocking(True)
        for done in range(1, calls + 1):
            number = next(run.numbers)
            wrapped.sendall(requests.make(number))
            if _whole(wrapped) != answer(number):
                raise BenchFailed(f"a wrong answer to call {number}")
            if done % (calls // _STEPS) == 0:
                _look(run, target, looks, done)
    return looks


def _whole(wrapped: socket.socket) -> bytes:
    reader = WholeReader()
    while data := wrapped.recv(65_536):
        if (body := reader.feed(data)) is not None:
            return body
    raise BenchFailed("the connection was closed within an answer")


def _begin(target: Target) -> Looks:
    return [(0, resident_mib(target.pid or 0))]


def _look(run: Run, target: Target, looks: Looks, done: int) -> None:
    looks.append((done, resident_mib(target.pid or 0)))
    run.say(f"{done:,} calls: {looks[-1][1]:.1f} MiB")


def _table(title: str, looks: Looks) -> Table:
    heads = (title, *[f"{done:,}" for done, _ in looks])
    return Table(heads, (("resident, MiB", *[f"{value:.0f}" for _, value in looks]),))
