"""Anthropic's and Google's SDKs, LiteLLM and LangChain, through the real proxy. OpenAI's has its own file."""

import contextlib
from collections import Counter
from collections.abc import Iterator

import pytest

from proxy.demo.faults import Faults
from tests.e2e.sdk_support import (
    Clients,
    Ways,
    alike,
    assert_answered_again,
    assert_left_running,
    assert_passed_on,
    python_clients,
    wait_until_nothing_is_open,
    ways,
)

__all__ = ["ways"]

ANSWERED = {
    "anthropic_client.py": (
        "beta",
        "count_tokens",
        "message",
        "message_async",
        "message_sampled",
        "message_stream",
        "message_stream_helper",
        "models",
        "raw_response",
        "tool_results",
        "tools",
        "tools_stream",
        "vision",
    ),
    "gemini_client.py": (
        "chat",
        "content",
        "content_async",
        "content_sampled",
        "content_stream",
        "count_tokens",
        "embeddings",
        "models",
        "structured",
        "tools",
        "vision",
    ),
    "litellm_client.py": ("acompletion", "completion", "embedding", "stream", "tools"),
    "langchain_client.py": ("asynchronous", "batch", "embeddings", "invoke", "stream", "structured", "tools"),
}
PASSED_ON = {
    "anthropic_client.py": (
        "bad_request",
        "broken_stream",
        "closed_early",
        "overloaded",
        "rate_limit",
        "timeout",
        "unknown_model",
        "wrong_key",
    ),
    "gemini_client.py": ("rate_limit", "server_error", "timeout", "unknown_model"),
    "litellm_client.py": ("rate_limit", "unknown_model"),
    "langchain_client.py": (),
}
TWENTY = ("anthropic_client.py", "gemini_client.py")


class Scripts:
    """The scripts that run; each is started when it is first asked."""

    def __init__(self, ways: Ways, factory: pytest.TempPathFactory) -> None:
        self._ways = ways
        self._factory = factory
        self._stack = contextlib.ExitStack()
        self._running: dict[str, Clients] = {}

    def __getitem__(self, script: str) -> Clients:
        if script not in self._running:
            directory = self._factory.mktemp(script.partition(".")[0])
            self._running[script] = self._stack.enter_context(python_clients(self._ways, script, directory))
        return self._running[script]

    def close(self) -> None:
        """Stop them all."""
        self._stack.close()


@pytest.fixture(scope="module")
def scripts(ways: Ways, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    running = Scripts(ways, tmp_path_factory)
    try:
        yield running
    finally:
        running.close()


def each(table: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Every script with each of its scenarios."""
    return [(script, name) for script, names in table.items() for name in names]


@pytest.mark.parametrize("script", list(ANSWERED))
def test_no_scenario_is_forgotten(scripts: Scripts, script: str) -> None:
    others = (["twenty_alike"] if script in TWENTY else []) + (["retried"] if script == "anthropic_client.py" else [])
    assert scripts[script].scenarios() == sorted([*ANSWERED[script], *PASSED_ON[script], *others])


@pytest.mark.parametrize(("script", "name"), each(ANSWERED))
def test_answers_are_as_without_a_proxy_and_answered_again(scripts: Scripts, script: str, name: str) -> None:
    assert_answered_again(scripts[script].see(name))


@pytest.mark.parametrize(("script", "name"), each(PASSED_ON))
def test_errors_and_halves_are_as_without_a_proxy_and_never_kept(scripts: Scripts, script: str, name: str) -> None:
    seen = scripts[script].see(name)
    if name == "timeout":
        assert_left_running(seen)
    else:
        assert_passed_on(seen)
    wait_until_nothing_is_open(scripts[script].ways)


@pytest.mark.parametrize("script", TWENTY)
def test_twenty_at_once_share_one_answer(scripts: Scripts, script: str) -> None:
    seen = scripts[script].see("twenty_alike")
    assert isinstance(seen.through, list)
    assert len(seen.through) == 20
    assert all(answer == seen.through[0] for answer in seen.through)
    assert seen.again == seen.through
    (direct,), (through,) = seen.calls_direct.items(), seen.calls_through.items()
    assert (direct[1], through[1], seen.calls_again.total()) == (20, 1, 0)
    assert direct[0] == through[0]


def test_the_sdks_own_retry_works(scripts: Scripts) -> None:
    limited = Faults(path="/v1/models/claude-retried", status=429, retry_after="0.05", times=2)
    seen = scripts["anthropic_client.py"].see("retried", [limited])
    assert alike(seen.direct, seen.through)
    assert seen.through == {"retries": 2, "id": "claude-retried"}
    assert seen.calls_through == seen.calls_direct == {"GET api.anthropic.com/v1/models/claude-retried": 3}
    assert seen.again == {"retries": 0, "id": "claude-retried"}
    assert seen.calls_again == Counter()
