"""Azure's paths, deployments and api-versions."""

import pytest

from proxy.exchange.provider import UNKNOWN, CallFacts, Json
from proxy.providers.azure import Azure
from proxy.providers.entry import ProviderEntry

AZURE = Azure(ProviderEntry("azure", "azure", ("*.openai.azure.com",), stream_usage="ask", price_id="azure"))
CHAT = "/openai/deployments/my-gpt/chat/completions"


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", CHAT, "chat"),
        ("POST", "/openai/deployments/d/completions", "completions"),
        ("POST", "/openai/deployments/d/embeddings", "embeddings"),
        ("POST", "/openai/deployments/d/images/generations", "images"),
        ("POST", "/openai/deployments/d/audio/transcriptions", "audio"),
        ("POST", "/openai/deployments/d/audio/speech", "speech"),
        ("POST", "/openai/deployments/d/extensions/chat/completions", "chat"),
        ("POST", "/openai/v1/chat/completions", "chat"),
        ("POST", "/openai/v1/responses", "responses"),
        ("POST", "/openai/responses", "responses"),
        ("GET", "/openai/models", "models"),
        ("GET", "/openai/v1/responses/r1", "stored_responses"),
        ("GET", "/openai/deployments", "deployments"),
        ("POST", "/openai/files", "files"),
        ("POST", "/models/chat/completions", "chat"),
        ("POST", "/models/embeddings", "embeddings"),
        ("POST", "/anthropic/v1/messages", "messages"),
    ],
)
def test_operations(method: str, path: str, name: str) -> None:
    assert AZURE.operation(method, path).name == name


@pytest.mark.parametrize(
    "path", ["/", "", "/v1/chat/completions", "/openai", "/openai/deployments/d/unheard/of", "/models/info", "/x/y"]
)
def test_other_paths_are_unknown(path: str) -> None:
    assert AZURE.operation("POST", path) is UNKNOWN


def described(path: str, query: str, body: Json | None) -> CallFacts:
    return AZURE.describe(AZURE.operation("POST", path), path, query, body)


def test_the_deployment_stands_for_the_model() -> None:
    assert described(CHAT, "", {"messages": [{}]}).model == "my-gpt"
    assert described("/openai/deployments/my%20gpt/audio/transcriptions", "", None).model == "my gpt"


def test_a_model_in_the_body_comes_first() -> None:
    assert described(CHAT, "", {"model": "gpt-x"}).model == "gpt-x"
    assert described("/openai/v1/chat/completions", "", {"model": "gpt-x"}).model == "gpt-x"


@pytest.mark.parametrize(
    ("query", "left_alone"),
    [
        ("api-version=2024-02-01", True),
        ("api-version=2024-08-01-preview", True),
        ("x=1&api-version=2023-05-15", True),
        ("api-version=2024-09-01-preview", False),
        ("api-version=2024-10-21", False),
        ("api-version=preview", False),
        ("", False),
    ],
)
def test_old_versions_are_not_asked(query: str, left_alone: bool) -> None:
    assert described(CHAT, query, {"stream": True}).asks_usage is left_alone


def test_a_request_over_own_data_is_not_asked() -> None:
    body: Json = {"stream": True, "data_sources": [{"type": "azure_search"}]}
    operation = AZURE.operation("POST", CHAT)
    assert described(CHAT, "api-version=2024-10-21", body).asks_usage
    assert AZURE.ask_usage(operation, b'{"stream":true,"data_sources":[{}]}', body) is None
    assert AZURE.ask_usage(operation, b'{"stream":true}', {"stream": True}) is not None


def test_both_kinds_of_credential_are_seen() -> None:
    assert AZURE.credential([(b"api-key", b"k")], {}) == b"k"
    assert AZURE.credential([(b"authorization", b"Bearer token")], {}) == b"token"


def test_the_answer_names_the_model_that_is_priced() -> None:
    reader = AZURE.usage_reader(AZURE.operation("POST", CHAT), CallFacts(model="my-gpt"), "application/json")
    assert reader is not None
    reader.feed(b'{"model":"gpt-4o-2024-08-06","usage":{"prompt_tokens":3,"completion_tokens":1}}')
    usage = reader.usage()
    assert usage is not None
    assert usage.model == "gpt-4o-2024-08-06"
