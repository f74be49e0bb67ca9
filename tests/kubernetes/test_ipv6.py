"""Pods of a cluster that has IPv6 alone, while providers have addresses of both families."""

from collections.abc import Iterator

import pytest

from tests.kubernetes.conftest import Applied, Apply
from tests.kubernetes.internet import BOTH
from tests.kubernetes.pods import admitted, application


@pytest.fixture(scope="module", params=["hosts", "env", "redirect"])
def made(apply: Apply, request: pytest.FixtureRequest) -> Iterator[Applied]:
    with apply(admitted(application(request.param), admin_host="[::]"), has_ipv4=False) as running:
        yield running


def test_calls_find_their_way_in_every_mode(made: Applied, prompt: str) -> None:
    answers = made.clients.ask("curl", BOTH, prompt)
    assert [each.cache for each in answers] == ["miss", "hit"]
    assert made.asked(prompt) == 1
