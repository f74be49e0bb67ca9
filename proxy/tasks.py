"""The only place that makes tasks.

Tasks start eagerly: what can be answered without waiting (a cache hit) is answered inside the call, and no task is
ever scheduled for it. The loop's task factory is left alone: uvloop and asyncio's eager factory disagree on
Python 3.13.0, while constructing an eager Task directly works on every supported pair.
"""

import asyncio
import contextvars
from collections.abc import Coroutine

import structlog

log = structlog.get_logger(__name__)


class TaskSet:
    """Keeps its tasks alive until they end, and can wait for them or cancel them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        # One of each for all tasks: a thousand of them wait at a time.
        self._on_end = self._ended
        self._context = contextvars.copy_context()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, coroutine: Coroutine[object, object, None], *, name: str) -> asyncio.Task[None]:
        """Run now, up to the first real wait. A failure that nobody awaits is logged, never lost."""
        task = asyncio.Task(coroutine, loop=asyncio.get_running_loop(), name=name, eager_start=True)
        if task.done():
            _report(task)
        else:
            self._tasks.add(task)
            task.add_done_callback(self._on_end, context=self._context)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        _report(task)

    async def wait(self, timeout_s: float) -> int:
        """Wait for all; returns how many are still running when the time is over."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=timeout_s)
        return len(self._tasks)

    async def cancel(self) -> None:
        """Cancel all and wait for their ends."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (failure := task.exception()) is not None:
        log.error("task_failed", task=task.get_name(), error=type(failure).__name__, exc_info=failure)
