"""CPU time is counted finer than a tick of the scheduler."""

import os
import subprocess
import time

from bench.processes import cpu_seconds


def test_cpu_time_is_that_of_the_process_and_finer_than_a_tick() -> None:
    least = time.process_time()
    first = cpu_seconds(os.getpid())
    assert least <= first < cpu_seconds(os.getpid())


def test_process_that_is_gone_took_nothing() -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    assert cpu_seconds(gone.pid) == 0.0
