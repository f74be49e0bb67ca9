"""Vertex AI: publishers, endpoints, and other makers' shapes below Google's paths."""

import json

import pytest

from proxy.exchange.provider import UNKNOWN, CallFacts, Json
from proxy.exchange.usage import Usage
from proxy.providers.entry import ProviderEntry
from proxy.providers.vertex import Vertex
from tests.providers.reading import dumped, fed, sse

VERTEX = Vertex(ProviderEntry("vertex", "vertex", stream_usage="always", price_id="google"))
LOCATED = "/v1/projects/p/locations/us-east5"
CLAUDE = f"{LOCATED}/publishers/anthropic/models/claude-sonnet-4-5@20250929"
MISTRAL = f"{LOCATED}/publishers/mistralai/models/mistral-medium-3"
OPENAPI = f"{LOCATED}/endpoints/openapi"


@pytest.mark.parametrize(
    ("method", "path", "name", "answers"),
    [
        ("POST", f"{LOCATED}/publishers/google/models/gemini-2.5-pro:generateContent", "generate_content", True),
        ("POST", "/v1beta1/publishers/google/models/gemini-2.5-pro:generateContent", "generate_content", True),
        ("POST", f"{LOCATED}/publishers/google/models/g:streamGenerateContent", "generate_content", True),
        ("POST", f"{LOCATED}/endpoints/123:generateContent", "generate_content", True),
        ("POST", f"{LOCATED}/publishers/google/models/g:countTokens", "count_tokens", True),
        ("POST", f"{LOCATED}/publishers/google/models/text-embedding-005:predict", "embeddings", True),
        ("POST", f"{LOCATED}/publishers/google/models/imagen-4:predict", "images", True),
        ("POST", f"{CLAUDE}:rawPredict", "messages", True),
        ("POST", f"{CLAUDE}:streamRawPredict", "messages", True),
        ("POST", f"{LOCATED}/publishers/anthropic/models/count-tokens:rawPredict", "count_tokens", True),
        ("POST", f"{MISTRAL}:rawPredict", "chat", True),
        ("POST", f"{OPENAPI}/chat/completions", "chat", True),
        ("GET", f"{LOCATED}/publishers/google/models", "models", True),
        ("GET", "/v1beta1/publishers/google/models/g", "models", True),
        ("POST", f"{LOCATED}/cachedContents", "cached_contents", False),
        ("GET", f"{LOCATED}/batchPredictionJobs/1", "batches", False),
        ("POST", f"{LOCATED}/tuningJobs", "fine_tuning", False),
    ],
)
def test_operations(method: str, path: str, name: str, answers: bool) -> None:
    found = VERTEX.operation(method, path)
    assert (found.name, found.answers) == (name, answers)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{CLAUDE}:rawPredict"),
        ("POST", f"{LOCATED}/endpoints/123:rawPredict"),
        ("POST", f"{LOCATED}/publishers/google/models"),
        ("POST", "/chat/completions"),
        ("GET", "/v1/projects/p"),
    ],
)
def test_other_paths_are_unknown(method: str, path: str) -> None:
    assert VERTEX.operation(method, path) is UNKNOWN


def described(path: str, body: Json) -> CallFacts:
    return VERTEX.describe(VERTEX.operation("POST", path), path, "", body)


def test_the_path_names_claude() -> None:
    body: Json = {"anthropic_version": "vertex-2023-10-16", "messages": [{}], "temperature": 0, "stream": True}
    facts = described(f"{CLAUDE}:streamRawPredict", body)
    assert facts == CallFacts(model="claude-sonnet-4-5@20250929", stream=True, deterministic=True, messages=1)


def test_the_body_names_the_model_whose_tokens_are_counted() -> None:
    path = f"{LOCATED}/publishers/anthropic/models/count-tokens:rawPredict"
    assert described(path, {"model": "claude-haiku-4-5", "messages": []}).model == "claude-haiku-4-5"


def test_the_path_names_mistral() -> None:
    facts = described(f"{MISTRAL}:streamRawPredict", {"model": "other", "messages": [{}]})
    assert (facts.model, facts.stream) == ("mistral-medium-3", True)


def test_the_body_names_models_of_the_openapi_endpoint() -> None:
    facts = described(f"{OPENAPI}/chat/completions", {"model": "meta/llama-4", "messages": [{}], "stream": True})
    assert (facts.model, facts.stream, facts.asks_usage) == ("meta/llama-4", True, False)


def test_gemini_is_described_by_its_path() -> None:
    path = f"{LOCATED}/publishers/google/models/gemini-2.5-pro:streamGenerateContent"
    assert described(path, {"contents": [{}]}) == CallFacts(model="gemini-2.5-pro", stream=True, messages=1)
    state = VERTEX.operation("GET", f"{LOCATED}/tuningJobs/1")
    assert VERTEX.describe(state, f"{LOCATED}/tuningJobs/1", "", None) == CallFacts()


def test_claudes_stream_is_read() -> None:
    operation = VERTEX.operation("POST", f"{CLAUDE}:streamRawPredict")
    reader = VERTEX.usage_reader(operation, CallFacts(stream=True), "text/event-stream; charset=utf-8")
    assert reader is not None
    start = {"type": "message_start", "message": {"id": "m", "model": "claude", "usage": {"input_tokens": 4}}}
    delta = {"type": "message_delta", "usage": {"output_tokens": 6}}
    body = sse(("vertex_event", start), ("vertex_event", delta), ("vertex_event", {"type": "message_stop"}))
    fed(reader, body)
    assert reader.usage() == Usage(input_tokens=4, output_tokens=6, model="claude", response_id="m")
    assert reader.is_complete()


def test_mistrals_answer_is_read() -> None:
    reader = VERTEX.usage_reader(VERTEX.operation("POST", f"{MISTRAL}:rawPredict"), CallFacts(), "application/json")
    assert reader is not None
    fed(reader, dumped({"id": "1", "model": "m", "usage": {"prompt_tokens": 2, "completion_tokens": 3}}))
    assert reader.usage() == Usage(input_tokens=2, output_tokens=3, model="m", response_id="1")


def test_predicted_embeddings_are_counted_one_by_one() -> None:
    path = f"{LOCATED}/publishers/google/models/text-embedding-005:predict"
    reader = VERTEX.usage_reader(VERTEX.operation("POST", path), CallFacts(), "application/json; charset=UTF-8")
    assert reader is not None
    one = {"embeddings": {"values": [0.1], "statistics": {"token_count": 6.0, "truncated": False}}}
    fed(reader, dumped({"predictions": [one, one], "metadata": {"billableCharacterCount": 20}}))
    assert reader.usage() == Usage(input_tokens=12)


def test_only_openais_shape_is_asked() -> None:
    operation = VERTEX.operation("POST", f"{OPENAPI}/chat/completions")
    body: Json = {"stream": True, "messages": []}
    changed = VERTEX.ask_usage(operation, dumped(body), body)
    assert changed is not None
    assert json.loads(changed)["stream_options"] == {"include_usage": True}
    assert VERTEX.is_added_usage(b'data: {"choices":[],"usage":{"prompt_tokens":3}}')
    assert VERTEX.ask_usage(VERTEX.operation("POST", f"{CLAUDE}:rawPredict"), b"{}", {"stream": True}) is None


def test_credential_and_error() -> None:
    assert VERTEX.credential([(b"authorization", b"Bearer ya29")], {}) == b"ya29"
    assert json.loads(VERTEX.error(403, "c", "No.").body)["error"]["status"] == "PERMISSION_DENIED"
