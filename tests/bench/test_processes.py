"""CPU time is counted finer than a tick of the scheduler."""

import os
import time

from bench.processes import cpu_seconds


def test_cpu_time_is_that_of_the_process_and_finer_than_a_tick() -> None:
    least = time.process_time()
    first = cpu_seconds(os.getpid())
    second = cpu_seconds(os.getpid())
    assert least <= first < second < first + 0.01 + time.process_time() - least


def test_process_that_is_gone_took_nothing() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert cpu_seconds(pid) == 0.0
