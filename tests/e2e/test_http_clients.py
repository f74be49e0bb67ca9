"""Clients without an SDK, with what `skinflint env` sets and nothing else: Python's HTTP libraries, and Java's."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.e2e.sdk_support import (
    Clients,
    Ways,
    alike,
    assert_answered_again,
    assert_passed_on,
    python_clients,
    ways,
)

__all__ = ["ways"]

ANSWERED = ("by_aiohttp", "by_httpx", "by_httpx2_async", "by_requests", "by_requests_a_chunked_upload", "by_urllib")
CHAT = "POST api.openai.com/v1/chat/completions"
JAVA = Path(__file__).with_name("java") / "Calls.java"


@pytest.fixture(scope="module")
def clients(ways: Ways, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with python_clients(ways, "http_clients.py", tmp_path_factory.mktemp("libraries")) as running:
        yield running


def test_no_scenario_is_forgotten(clients: Clients) -> None:
    assert clients.scenarios() == sorted((*ANSWERED, "by_urllib_an_error"))


@pytest.mark.parametrize("name", ANSWERED)
def test_libraries_see_what_they_see_without_a_proxy(clients: Clients, name: str) -> None:
    assert_answered_again(clients.see(name))


def test_an_error_is_the_providers_own(clients: Clients) -> None:
    assert_passed_on(clients.see("by_urllib_an_error"))


def test_both_of_javas_clients_use_the_proxy_and_trust_it(ways: Ways, tmp_path: Path) -> None:
    java = shutil.which("java")
    if java is None:
        pytest.skip("there is no java")
    before = ways.calls()
    done = subprocess.run(
        [java, str(JAVA)], env=dict(ways.through), cwd=tmp_path, capture_output=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr.decode()
    first, second, streamed, older = done.stdout.decode().splitlines()
    assert first == second
    assert alike(*(orjson.loads(each.removeprefix("200 ")) for each in (first, older)))
    assert orjson.loads(first.removeprefix("200 "))["usage"]["completion_tokens"] > 0
    assert streamed.endswith("|data: [DONE]")
    assert ways.calls() - before == {CHAT: 3}  # the older client accepts other types: what it asks is not the same


def test_what_alike_means() -> None:
    assert alike({"id": "a-1", "text": "x", "usage": None}, {"id": "b-2", "text": "x"})
    assert not alike({"id": "a-1"}, {"id": "a-12"})
    assert not alike({"text": "x"}, {"text": "y"})
    assert not alike([1, 2], [1])
    assert not alike({"usage": 1}, {})
