"""OpenAI's Python SDK, unchanged, through the real proxy: what applications see, and what reaches the provider."""

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

CHAT = "POST api.openai.com/v1/chat/completions"


@pytest.fixture(scope="module")
def chats(ways: Ways, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with python_clients(ways, "openai_chat.py", tmp_path_factory.mktemp("chats")) as clients:
        yield clients


@pytest.fixture(scope="module")
def rest(ways: Ways, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with python_clients(ways, "openai_rest.py", tmp_path_factory.mktemp("rest")) as clients:
        yield clients


@pytest.fixture(scope="module")
def errors(ways: Ways, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with python_clients(ways, "openai_errors.py", tmp_path_factory.mktemp("errors")) as clients:
        yield clients


CHATS = (
    "chat",
    "chat_async",
    "chat_async_helper",
    "chat_parse",
    "chat_raw",
    "chat_sampled",
    "chat_stream",
    "chat_stream_helper",
    "chat_stream_usage",
    "chat_streaming_response",
    "chat_tools",
    "chat_tools_stream",
    "chat_vision",
    "completions",
    "twenty_different",
)
SHARED = ("sync_and_async_ask_the_same", "twenty_alike", "twenty_streams_alike")
ANSWERS = (
    "azure",
    "compatible_server",
    "embeddings",
    "images",
    "moderations",
    "models",
    "responses",
    "responses_async",
    "responses_helper",
    "responses_parse",
    "responses_stream",
    "responses_tools",
    "transcription",
)
STATE = ("batches", "files")
ERRORS = ("error_in_a_stream", "no_key", "rate_limit", "server_error", "unknown_model", "unknown_path")
CUT_SHORT = ("broken_stream", "closed_early", "timeout_in_a_stream")


def test_no_scenario_is_forgotten(chats: Clients, rest: Clients, errors: Clients) -> None:
    assert chats.scenarios() == sorted((*CHATS, *SHARED))
    assert rest.scenarios() == sorted((*ANSWERS, *STATE, "responses_stored", "speech"))
    assert errors.scenarios() == sorted((*ERRORS, *CUT_SHORT, "cancelled_task", "retried", "timeout"))


@pytest.mark.parametrize("name", CHATS)
def test_chats_are_as_without_a_proxy_and_answered_again(chats: Clients, name: str) -> None:
    assert_answered_again(chats.see(name))


@pytest.mark.parametrize("name", ANSWERS)
def test_the_rest_is_as_without_a_proxy_and_answered_again(rest: Clients, name: str) -> None:
    assert_answered_again(rest.see(name))


def test_audio_is_the_same_to_the_byte_and_paid_once(rest: Clients) -> None:
    seen = rest.see("speech")
    assert seen.direct == seen.through == seen.again
    assert seen.calls_direct == {"POST api.openai.com/v1/audio/speech": 2}  # at once, and as a stream
    assert seen.calls_through == {"POST api.openai.com/v1/audio/speech": 1}
    assert seen.calls_again == Counter()


@pytest.mark.parametrize("name", SHARED)
def test_who_asks_the_same_shares_an_answer(chats: Clients, name: str) -> None:
    seen = chats.see(name)
    assert isinstance(seen.direct, list)
    assert isinstance(seen.through, list)
    assert seen.calls_direct == {CHAT: len(seen.direct)}
    assert seen.calls_through == {CHAT: 1}
    assert all(answer == seen.through[0] for answer in seen.through)
    assert len(seen.through) == len(seen.direct)
    assert seen.again == seen.through
    assert seen.calls_again == Counter()


@pytest.mark.parametrize("name", STATE)
def test_what_creates_or_reads_state_is_always_passed_on(rest: Clients, name: str) -> None:
    assert_passed_on(rest.see(name))


def test_a_stored_response_is_answered_again_but_what_goes_on_from_it_is_not(rest: Clients) -> None:
    seen = rest.see("responses_stored")
    assert seen.direct == seen.through == seen.again
    made, stored = "POST api.openai.com/v1/responses", "api.openai.com/v1/responses/{id}"
    assert seen.calls_direct == {made: 2, f"GET {stored}": 1, f"DELETE {stored}": 1}
    assert seen.calls_through == seen.calls_direct
    assert seen.calls_again == {made: 1, f"GET {stored}": 1, f"DELETE {stored}": 1}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_the_providers_own_and_never_kept(errors: Clients, name: str) -> None:
    assert_passed_on(errors.see(name))


def test_the_sdks_own_retry_works(errors: Clients) -> None:
    limited = Faults(host="eu.api.openai.com", status=429, retry_after="0.05", times=2)
    seen = errors.see("retried", [limited])
    assert alike(seen.direct, seen.through)
    assert isinstance(seen.through, dict)
    assert isinstance(seen.again, dict)
    assert seen.through["retries"] == 2
    assert seen.calls_through == seen.calls_direct == {"POST eu.api.openai.com/v1/chat/completions": 3}
    assert seen.again == {"retries": 0, "answer": seen.through["answer"]}
    assert seen.calls_again == Counter()


@pytest.mark.parametrize("name", CUT_SHORT)
def test_what_was_cut_short_looks_as_without_a_proxy_and_is_never_kept(errors: Clients, name: str) -> None:
    assert_passed_on(errors.see(name))
    wait_until_nothing_is_open(errors.ways)


def test_a_call_that_timed_out_is_joined_by_the_next_attempt(errors: Clients) -> None:
    assert_left_running(errors.see("timeout"))
    wait_until_nothing_is_open(errors.ways)


def test_a_cancelled_call_hurts_no_other(errors: Clients) -> None:
    seen = errors.see("cancelled_task")
    assert alike(seen.direct, seen.through)
    assert isinstance(seen.through, dict)
    assert (seen.through["is_done"], seen.through["is_cancelled"]) == (False, True)
    assert seen.calls_through == seen.calls_direct == {CHAT: 2}
    assert seen.again == seen.through
    assert seen.calls_again == {}  # the cancelled one was still under way
    wait_until_nothing_is_open(errors.ways)
