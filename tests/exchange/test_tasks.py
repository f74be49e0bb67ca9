"""The one place that makes tasks."""

import asyncio

import pytest
from structlog.testing import capture_logs

from proxy.tasks import TaskSet


async def answered() -> None:
    """Never waits."""


async def failing() -> None:
    raise ValueError


async def test_what_never_waits_is_done_at_once() -> None:
    tasks = TaskSet()
    assert tasks.spawn(answered(), name="x").done()
    assert len(tasks) == 0


async def test_what_waits_is_kept_until_it_ends() -> None:
    tasks, gate = TaskSet(), asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    task = tasks.spawn(wait(), name="x")
    assert (len(tasks), task.get_name()) == (1, "x")
    assert await tasks.wait(0.0) == 1
    gate.set()
    assert await tasks.wait(5.0) == 0
    assert len(tasks) == 0


@pytest.mark.parametrize("waits", [True, False])
async def test_a_failure_that_nobody_awaits_is_logged(waits: bool) -> None:
    async def fail() -> None:
        if waits:
            await asyncio.sleep(0)
        await failing()

    tasks = TaskSet()
    with capture_logs() as logs:
        tasks.spawn(fail(), name="x")
        await tasks.wait(5.0)
        await asyncio.sleep(0)
    assert [(entry["event"], entry["task"], entry["error"]) for entry in logs] == [("task_failed", "x", "ValueError")]


async def test_cancelling_ends_all_of_them() -> None:
    tasks, ended = TaskSet(), []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    for _ in range(3):
        tasks.spawn(wait(), name="x")
    with capture_logs() as logs:
        await tasks.cancel()
    assert ended == [1, 1, 1]
    assert not logs
    await tasks.cancel()
    assert await tasks.wait(0.0) == 0
