"""Processes that share calls, for tests: each has the stages that matter for it, all on the test's loop.

What they share by is theirs: workers (tests/workers/neighbours.py), or replicas (tests/fleet/replicas.py).
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from addons.cache import CacheStage
from addons.cache_again import CacheAgain
from addons.collapse import Collapse, Peers
from addons.observe import Observe
from config.schema import Settings
from proxy.exchange.model import Exchange, Response
from proxy.tasks import TaskSet
from tests.support.exchanges import SSE, Fed, answer, calling


class Sharer:
    """One of them. `bodies`: what its calls upstream are answered with, fed by the test; `answers`: given before."""

    def __init__(self, cache: CacheStage, settings: Settings, tasks: TaskSet, peers: Peers) -> None:
        self.tasks = tasks
        self.stage = Collapse(settings, tasks, peers)
        self.below = (self.stage, CacheAgain(cache), Observe(TaskSet()))
        self._stages = (cache, *self.below)
        self.calls = 0  # streams that were begun upstream
        self.bodies: list[Fed] = []
        self.answers: list[Response | Exception] = []
        self._held: asyncio.Event | None = None

    def hold(self) -> asyncio.Event:
        """Its origin answers nothing before this is set."""
        self._held = asyncio.Event()
        return self._held

    def readers(self) -> int:
        """How many share the calls that this one makes, others' included."""
        return sum(flight.readers for flight in self.stage._flights.values())

    async def origin(self, called: Exchange) -> Response:
        """Gives the scripted answers, then streams that the test feeds."""
        if self._held is not None:
            await self._held.wait()
        if self.answers:
            scripted = self.answers.pop(0)
            if isinstance(scripted, Exception):
                raise scripted
            return scripted
        self.calls += 1
        self.bodies.append(Fed())
        return answer(self.bodies[-1], headers=SSE)

    async def ask(self, called: Exchange) -> Response:
        """What the edge does."""
        return await calling(*self._stages, end=self.origin)(called)


class Sharers(ABC):
    """All of them."""

    @property
    @abstractmethod
    def all(self) -> Sequence[Sharer]:
        """Each."""

    @property
    @abstractmethod
    def claimed(self) -> int:
        """Claims that are held."""

    @property
    @abstractmethod
    def followed(self) -> int:
        """Calls that another one follows."""

    @property
    def upstream_calls(self) -> int:
        """Streams that were begun upstream by all of them."""
        return sum(each.calls for each in self.all)
