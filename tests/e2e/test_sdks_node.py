"""OpenAI's and Anthropic's SDKs for Node, unchanged, through the real proxy, with what `skinflint env` sets.

Around the proxy they are told another base URL: the Node versions that ignore HTTPS_PROXY know no other way.
"""

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.demo.certificates import Certificates
from proxy.demo.faults import Faults
from tests.e2e.sdk_support import (
    KEYS,
    Clients,
    Ways,
    assert_answered_again,
    assert_left_running,
    assert_passed_on,
    both,
    wait_until_nothing_is_open,
    ways,
)

__all__ = ["ways"]

FOLDER = Path(__file__).with_name("node")
OLDEST = 20  # the SDKs need it

ANSWERED = (
    "chat",
    "chat_helper",
    "chat_raw",
    "chat_stream",
    "chat_tools",
    "chat_vision",
    "claude_models",
    "count_tokens",
    "embeddings",
    "message",
    "message_helper",
    "message_stream",
    "message_tools",
    "models",
    "responses",
    "responses_stream",
    "speech",
    "transcription",
)
PASSED_ON = (
    "broken_stream",
    "closed_early",
    "files",
    "overloaded",
    "rate_limit",
    "timeout",
    "unknown_model",
)


def node() -> str:
    """The interpreter. Skips when it, or what it needs, is not there."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("there is no node")
    version = subprocess.run([found, "--version"], capture_output=True, check=True, text=True, timeout=30).stdout
    if int(version.lstrip("v").partition(".")[0]) < OLDEST:
        pytest.skip(f"the SDKs need Node {OLDEST}; this is {version.strip()}")
    if not (FOLDER / "node_modules" / ".ready").exists():
        pytest.skip("no SDKs for Node: `make node-clients` installs them")
    return found


@pytest.fixture(scope="module")
def clients(ways: Ways, authority: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    command = [node(), str(FOLDER / "sdk.mjs")]
    direct = {
        "PATH": ways.direct["PATH"],
        "NODE_EXTRA_CA_CERTS": str(authority.ca),
        "OPENAI_BASE_URL": f"{ways.provider.url}/@api.openai.com/v1",
        "ANTHROPIC_BASE_URL": f"{ways.provider.url}/@api.anthropic.com",
        **KEYS,
    }
    with both(replace(ways, direct=direct), command, command, tmp_path_factory.mktemp("node")) as running:
        yield running


def test_no_scenario_is_forgotten(clients: Clients) -> None:
    assert clients.scenarios() == sorted((*ANSWERED, *PASSED_ON, "retried", "twenty_alike"))


@pytest.mark.parametrize("name", ANSWERED)
def test_answers_are_as_without_a_proxy_and_answered_again(clients: Clients, name: str) -> None:
    assert_answered_again(clients.see(name))


@pytest.mark.parametrize("name", PASSED_ON)
def test_errors_and_halves_are_as_without_a_proxy_and_never_kept(clients: Clients, name: str) -> None:
    seen = clients.see(name)
    if name == "timeout":
        assert_left_running(seen)
    else:
        assert_passed_on(seen)
    wait_until_nothing_is_open(clients.ways)


def test_twenty_at_once_share_one_answer(clients: Clients) -> None:
    seen = clients.see("twenty_alike")
    assert isinstance(seen.through, list)
    assert len(seen.through) == 20
    assert all(answer == seen.through[0] for answer in seen.through)
    assert seen.again == seen.through
    assert seen.calls_direct == {"POST api.openai.com/v1/chat/completions": 20}
    assert seen.calls_through == {"POST api.openai.com/v1/chat/completions": 1}
    assert seen.calls_again == Counter()


def test_the_sdks_own_retry_works(clients: Clients) -> None:
    limited = Faults(path="/v1/models/gpt-retried", status=429, retry_after="0.05", times=2)
    seen = clients.see("retried", [limited])
    assert seen.direct == seen.through == seen.again == {"id": "gpt-retried", "status": 200}
    assert seen.calls_through == seen.calls_direct == {"GET api.openai.com/v1/models/gpt-retried": 3}
    assert seen.calls_again == Counter()
