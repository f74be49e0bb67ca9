"""A hundred starts and stops: an interpreter that aborts at its end does so only now and then."""

import json
from collections import Counter
from pathlib import Path

import pytest

from proxy.demo.certificates import Certificates
from tests.conftest import towards
from tests.support.background import Providers
from tests.support.processes import environment, module, running
from tests.support.running import merged, stopped_within, write_settings

TIMES = 100


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_hundred_starts_and_stops_end_with_status_0(
    provider: Providers, authority: Certificates, tmp_path: Path
) -> None:
    listeners = [{"address": "127.0.0.1:0", "mode": "reverse:https://api.openai.com"}]
    own = {"listeners": listeners, "drain": {"timeout_s": 0}, "cache": {"enabled": False}}
    config = write_settings(tmp_path, merged(towards(provider, authority), own))
    arguments = [str(config), str(tmp_path / "many"), str(TIMES)]
    with running(module("tests.e2e.start_and_stop", *arguments), tmp_path, environment(tmp_path)) as process:
        stopped_within(process, 400)
        last = process.output.splitlines()[-1]
    assert process.popen.returncode == 0, process.output[-3000:]
    assert Counter(json.loads(last)) == {0: TIMES}
    assert provider.count(path="/v1/models") >= TIMES
