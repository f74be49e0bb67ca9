"""Mistral's own seed, operations and errors."""

import orjson
import pytest

from proxy.exchange.provider import UNKNOWN, CallFacts, Json
from proxy.exchange.usage import Usage
from proxy.providers.entry import ProviderEntry
from proxy.providers.mistral import Mistral

MISTRAL = Mistral(ProviderEntry("mistral", "mistral", ("api.mistral.ai",), "/v1", "always", "mistral"))


@pytest.mark.parametrize(
    ("method", "path", "name", "answers", "sampled"),
    [
        ("POST", "/v1/chat/completions", "chat", True, True),
        ("POST", "/v1/fim/completions", "fim", True, True),
        ("POST", "/v1/agents/completions", "agents", True, True),
        ("POST", "/v1/embeddings", "embeddings", True, False),
        ("POST", "/v1/moderations", "moderations", True, False),
        ("POST", "/v1/chat/moderations", "moderations", True, False),
        ("POST", "/v1/classifications", "classifications", True, False),
        ("POST", "/v1/ocr", "ocr", True, False),
        ("GET", "/v1/models", "models", True, False),
        ("POST", "/v1/agents", "agents", False, False),
        ("POST", "/v1/conversations", "conversations", False, False),
        ("GET", "/v1/batch/jobs", "batches", False, False),
        ("POST", "/v1/libraries/l/documents", "libraries", False, False),
    ],
)
def test_operations(method: str, path: str, name: str, answers: bool, sampled: bool) -> None:
    operation = MISTRAL.operation(method, path)
    assert (operation.name, operation.answers, operation.sampled) == (name, answers, sampled)


def test_openais_own_paths_are_unknown() -> None:
    assert MISTRAL.operation("POST", "/v1/responses") is UNKNOWN


def described(path: str, body: Json) -> CallFacts:
    return MISTRAL.describe(MISTRAL.operation("POST", path), path, "", body)


def test_the_seed_has_its_own_name() -> None:
    assert described("/v1/chat/completions", {"random_seed": 3}).deterministic
    assert not described("/v1/chat/completions", {"seed": 3}).deterministic


def test_agents_keep_state() -> None:
    assert described("/v1/agents/completions", {"agent_id": "a", "random_seed": 1}).stateful
    assert not described("/v1/chat/completions", {"model": "m"}).stateful


def test_a_stream_reports_unasked_on_its_last_chunk() -> None:
    assert described("/v1/chat/completions", {"stream": True}).asks_usage
    operation = MISTRAL.operation("POST", "/v1/fim/completions")
    assert MISTRAL.ask_usage(operation, b'{"stream":true}', {"stream": True}) is None
    reader = MISTRAL.usage_reader(operation, CallFacts(stream=True), "text/event-stream")
    assert reader is not None
    reader.feed(b'data: {"id":"i","model":"m","choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n')
    reader.feed(
        b'data: {"id":"i","model":"m","choices":[{"delta":{"content":""},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":5,"total_tokens":7,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
    )
    assert reader.usage() == Usage(5, 2, model="m", response_id="i")
    assert reader.is_complete()


def test_errors_are_flat() -> None:
    error = orjson.loads(MISTRAL.error(429, "rate_limited", "too many").body)
    assert error == {"object": "error", "message": "too many", "type": "rate_limited", "param": None, "code": "429"}
