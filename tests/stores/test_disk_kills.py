"""Processes on one file are killed at whatever they are doing: what opens afterwards is right, and the file sound."""

import random
import signal
import subprocess
import time
from pathlib import Path

from structlog.testing import capture_logs

from tests.stores.answers import answer, key
from tests.stores.disk_hammer import NUMBERS, VERSIONS
from tests.stores.disks import disk
from tests.support.processes import module

_ROUNDS = 6


def hammering(path: Path, seed: int) -> subprocess.Popen[bytes]:
    command = module("tests.stores.disk_hammer", str(path), str(seed))
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], env={"PYTHONPATH": "."})


async def test_killed_at_any_point_nothing_wrong_is_left(tmp_path: Path) -> None:
    path = tmp_path / "data" / "cache.sqlite"
    possible = [[answer(number + NUMBERS * version) for version in range(VERSIONS)] for number in range(NUMBERS)]
    rng, hits = random.Random(5), 0
    with capture_logs() as logs:
        for round_number in range(_ROUNDS):
            running = [hammering(path, 2 * round_number + each) for each in range(2)]
            for each in running:
                assert each.stdout is not None
                assert each.stdout.readline() == b"begun\n"
            time.sleep(rng.uniform(0.2, 0.8))  # not waiting for anything: the kill comes at any point
            for each in running:
                each.send_signal(signal.SIGKILL)
                each.wait()
                assert each.stdout is not None
                each.stdout.close()
            async with disk(path, limit_bytes=1 << 18) as store:
                for number in range(NUMBERS):
                    got = await store.get(key(number))
                    assert got is None or got in possible[number]
                    hits += got is not None
                entries = store.stats().entries
                assert sum([await store.get(key(number)) is not None for number in range(NUMBERS)]) == entries
    assert hits > 0
    assert not [line for line in logs if line["log_level"] == "error"]
