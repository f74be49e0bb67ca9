"""What OpenAI-compatible servers have beyond OpenAI."""

import pytest

from proxy.exchange.provider import CallFacts, Json
from proxy.exchange.usage import Usage
from proxy.providers.compatible import Compatible
from proxy.providers.entry import ProviderEntry


def server(base_path: str = "") -> Compatible:
    return Compatible(ProviderEntry("vllm", "compatible", ("vllm.internal",), base_path))


@pytest.mark.parametrize(
    ("base_path", "path", "name"),
    [
        ("/openai/v1", "/openai/v1/chat/completions", "chat"),
        ("/api/v1", "/api/v1/chat/completions", "chat"),
        ("/inference/v1", "/inference/v1/completions", "completions"),
        ("", "/beta/completions", "completions"),
        ("", "/v1/rerank", "rerank"),
        ("", "/v2/rerank", "rerank"),
        ("", "/rerank", "rerank"),
        ("", "/score", "score"),
        ("", "/tokenize", "tokenize"),
        ("", "/detokenize", "tokenize"),
        ("", "/pooling", "pooling"),
        ("", "/classify", "classify"),
        ("/v1", "/v1/tokenize-text", "tokenize"),
        ("/api/v1", "/api/v1/messages", "messages"),
        ("", "/anthropic/v1/messages", "messages"),
    ],
)
def test_operations(base_path: str, path: str, name: str) -> None:
    operation = server(base_path).operation("POST", path)
    assert (operation.name, operation.answers) == (name, True)


@pytest.mark.parametrize(
    ("base_path", "path"), [("/api/v1", "/api/v1/generation"), ("/api/v1", "/api/v1/key"), ("", "/user/balance")]
)
def test_the_account_is_state(base_path: str, path: str) -> None:
    operation = server(base_path).operation("GET", path)
    assert (operation.name, operation.answers) == ("account", False)


def test_a_deferred_answer_is_state() -> None:
    operation = server().operation("POST", "/v1/chat/completions")
    assert server().describe(operation, "", "", {"deferred": True}).stateful
    assert not server().describe(operation, "", "", {"deferred": False}).stateful
    assert server().describe(operation, "", "", None) == CallFacts()


def test_messages_are_described_and_read_as_anthropics() -> None:
    provider = server("/api/v1")
    operation = provider.operation("POST", "/api/v1/messages")
    body: Json = {"model": "claude-x", "messages": [{}], "stream": True}
    facts = provider.describe(operation, "/api/v1/messages", "", body)
    assert (facts.model, facts.stream, facts.asks_usage, facts.messages) == ("claude-x", True, True, 1)
    assert provider.ask_usage(operation, b"{}", body) is None
    reader = provider.usage_reader(operation, CallFacts(), "application/json")
    assert reader is not None
    reader.feed(
        b'{"type":"message","id":"m1","model":"claude-x","usage":'
        b'{"input_tokens":3,"cache_read_input_tokens":7,"output_tokens":2}}'
    )
    assert reader.usage() == Usage(10, 2, cache_read_tokens=7, model="claude-x", response_id="m1")


def test_rerankers_report_a_total() -> None:
    provider = server()
    reader = provider.usage_reader(provider.operation("POST", "/rerank"), CallFacts(), "application/json")
    assert reader is not None
    reader.feed(b'{"id":"r","model":"bge","usage":{"total_tokens":56},"results":[]}')
    assert reader.usage() == Usage(56, model="bge", response_id="r")


def test_anthropics_key_field_is_a_credential_too() -> None:
    assert server().credential([(b"x-api-key", b"k")], {}) == b"k"
    assert server().credential([(b"x-api-key", b"k"), (b"authorization", b"Bearer t")], {}) == b"t"
