"""The short form of `make soak`: some seconds of all that can go wrong, and nothing is left of it."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import environment, module

_SHORT = ("--minutes", "0.2", "--warm-up", "0.1", "--looks", "1", "--clients", "12", "--json")
# Seconds are too short for the allocator to level off; what leaks by the call would be far more than this.
_MEMORY = ("--memory-mib", "64")
_DEADLINE_S = 400.0


@pytest.mark.slow
@pytest.mark.timeout(_DEADLINE_S + 20)
def test_nothing_is_left_of_mixed_and_broken_load(tmp_path: Path) -> None:
    ran = subprocess.run(
        module("bench.soak", *_SHORT, *_MEMORY),
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    assert ran.stdout, ran.stderr
    outcome = json.loads(ran.stdout)
    trouble = {name: outcome[name] for name in ("grown", "miscounted", "wrong_texts", "logged_errors")}
    assert trouble == {name: [] for name in trouble}, ran.stderr
    assert outcome["passed"]
    assert sum(outcome["asked"].values()) > 0
