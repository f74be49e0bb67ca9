"""Forking, and what becomes of the forked; see forking.py."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import environment, module


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("statuses", [[10, None], [11, None]]),
        ("signals", [[None, "SIGKILL"], [None, "SIGKILL"]]),
        ("bugs", [[1, None], [1, None]]),
        ("orphans", ["0", "1"]),
        ("replacements", [0, 0.05, 0.15, 0.35]),
        ("readiness", [False, True, True, False, 41]),
        ("wakeups", [True, 7, True]),
        ("failing_starts", 1),
    ],
)
def test_a_fleet(scenario: str, expected: object, tmp_path: Path) -> None:
    ended = subprocess.run(
        module("tests.workers.forking", scenario),
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert json.loads((ended.stdout.splitlines() or [b"null"])[-1]) == expected, ended.stderr.decode()
