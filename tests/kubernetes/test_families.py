"""Pods of clusters that have one family of addresses alone, while providers have both."""

from collections.abc import Iterator

import pytest

from tests.kubernetes.conftest import Applied, Apply
from tests.kubernetes.internet import BOTH
from tests.kubernetes.pods import admitted, application

ADMIN = {"4": "0.0.0.0", "6": "[::]"}  # where the kubelet finds the probes


PODS = ["hosts 4", "hosts 6", "env 6", "redirect 4", "redirect 6"]  # mode `env` listens on one loopback anyway


@pytest.fixture(scope="module", params=PODS)
def made(apply: Apply, request: pytest.FixtureRequest) -> Iterator[Applied]:
    mode, family = request.param.split()
    with apply(admitted(application(mode), admin_host=ADMIN[family]), family) as running:
        yield running


def test_calls_find_their_way(made: Applied, prompt: str) -> None:
    answers = made.clients.ask("curl", BOTH, prompt)
    assert [each.cache for each in answers] == ["miss", "hit"]
    assert made.asked(prompt) == 1
