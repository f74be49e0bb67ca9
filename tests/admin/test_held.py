"""What the process holds: tasks by kind, and the kernel's figures."""

import asyncio
import os
from pathlib import Path

from proxy.admin.held import KINDS, OTHER, look, tasks_by_kind
from proxy.tasks import TaskSet


async def test_tasks_are_counted_by_kind_while_they_run() -> None:
    tasks, gate = TaskSet(), asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    others = tasks_by_kind()[OTHER]
    tasks.spawn(wait(), name="flight")
    tasks.spawn(wait(), name="flight")
    tasks.spawn(wait(), name="a library's own")
    counted = tasks_by_kind()
    gate.set()
    await tasks.wait(5.0)
    assert (counted["flight"], counted[OTHER]) == (2, others + 1)
    assert tasks_by_kind() == {**dict.fromkeys(KINDS, 0), OTHER: others}


async def test_open_files_are_the_kernels_count(tmp_path: Path) -> None:
    before = look().open_files
    with (tmp_path / "open").open("w"):
        during = look().open_files
    assert before is not None
    assert during == before + 1


async def test_memory_and_threads_are_there() -> None:
    held = look()
    assert held.resident_bytes is not None
    assert held.resident_bytes > os.sysconf("SC_PAGE_SIZE")
    assert held.kernel_threads is not None
    assert held.kernel_threads >= held.threads >= 1
