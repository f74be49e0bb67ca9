"""The short form of `make reliability`: each trouble for a second or two, and no call failed or got a wrong answer."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import environment, module
from tests.support.redis_servers import needs_redis

_DEADLINE_S = 300.0
_TROUBLE_S = 1.5
_SLACK_S = 5.0  # of a busy machine, on top of deadlines of milliseconds


@pytest.mark.slow
@pytest.mark.timeout(_DEADLINE_S + 20)
@pytest.mark.parametrize(
    "scene", [*[pytest.param(name, marks=needs_redis()) for name in ("redis", "sentinel", "cluster")], "disk"]
)
def test_an_outage_under_load_fails_no_call_gives_no_wrong_answer_and_ends(tmp_path: Path, scene: str) -> None:
    ran = subprocess.run(
        module("bench.reliability", "--short", "--json", "--scenes", scene),
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    assert ran.stdout, ran.stderr
    for outcome in json.loads(ran.stdout)["outcomes"]:
        seen = {name: outcome[name] for name in ("failed", "wrong", "texts", "passed")}
        assert seen == {"failed": 0, "wrong": 0, "texts": [], "passed": True}, ran.stderr
        assert outcome["calls"] > 0
        assert outcome["longest_wait_s"] < _TROUBLE_S + _SLACK_S, ran.stderr
        assert max(sum(log["events"].values()) for log in outcome["logs"]) < 40, ran.stderr
