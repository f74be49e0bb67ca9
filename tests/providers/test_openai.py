"""OpenAI's paths, requests and errors."""

import orjson
import pytest

from proxy.exchange.headers import HeaderList
from proxy.exchange.provider import UNKNOWN, CallFacts, Json
from proxy.providers.entry import ProviderEntry, StreamUsage
from proxy.providers.openai import OpenAI
from proxy.providers.readers import JsonUsageReader, OpaqueReader, SseUsageReader


def dialect(base_path: str = "/v1", stream_usage: StreamUsage = "ask") -> OpenAI:
    return OpenAI(ProviderEntry("openai", "openai", ("api.openai.com",), base_path, stream_usage, "openai"))


def facts(path: str, body: Json | None, provider: OpenAI | None = None) -> CallFacts:
    provider = provider or dialect()
    operation = provider.operation("POST", path)
    assert operation is not UNKNOWN
    return provider.describe(operation, path, "", body)


def chat(body: Json, **kwargs: StreamUsage) -> CallFacts:
    return facts("/v1/chat/completions", body, dialect(**kwargs) if kwargs else None)


@pytest.mark.parametrize(
    ("path", "name", "sampled", "json_request"),
    [
        ("/v1/chat/completions", "chat", True, True),
        ("/v1/chat/completions/", "chat", True, True),
        ("/v1/responses", "responses", True, True),
        ("/v1/responses/input_tokens", "count_tokens", False, True),
        ("/v1/completions", "completions", True, True),
        ("/v1/embeddings", "embeddings", False, True),
        ("/v1/moderations", "moderations", False, True),
        ("/v1/images/generations", "images", True, True),
        ("/v1/images/edits", "images", True, False),
        ("/v1/images/variations", "images", True, False),
        ("/v1/audio/transcriptions", "audio", True, False),
        ("/v1/audio/translations", "audio", True, False),
        ("/v1/audio/speech", "speech", True, True),
    ],
)
def test_calls_that_may_be_answered_again(path: str, name: str, sampled: bool, json_request: bool) -> None:
    operation = dialect().operation("POST", path)
    assert (operation.name, operation.answers, operation.repeatable) == (name, True, True)
    assert (operation.sampled, operation.json_request) == (sampled, json_request)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-4o", "/v1/models/ft:gpt:org::id"])
def test_models_are_read_and_not_sampled(path: str) -> None:
    operation = dialect().operation("GET", path)
    assert (operation.name, operation.answers, operation.sampled) == ("models", True, False)
    assert not operation.json_request


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/v1/responses/resp_1", "stored_responses"),
        ("DELETE", "/v1/responses/resp_1", "stored_responses"),
        ("POST", "/v1/responses/resp_1/cancel", "stored_responses"),
        ("GET", "/v1/responses/resp_1/input_items", "stored_responses"),
        ("GET", "/v1/chat/completions", "stored_chat"),
        ("GET", "/v1/chat/completions/c1/messages", "stored_chat"),
        ("DELETE", "/v1/models/ft:1", "models"),
        ("GET", "/v1/files", "files"),
        ("POST", "/v1/files", "files"),
        ("GET", "/v1/files/f1/content", "files"),
        ("POST", "/v1/uploads/u1/parts", "uploads"),
        ("POST", "/v1/batches", "batches"),
        ("POST", "/v1/fine_tuning/jobs", "fine_tuning"),
        ("POST", "/v1/assistants", "assistants"),
        ("POST", "/v1/threads/t1/runs", "threads"),
        ("POST", "/v1/vector_stores/v1/search", "vector_stores"),
        ("POST", "/v1/evals", "evals"),
        ("POST", "/v1/containers", "containers"),
        ("POST", "/v1/conversations", "conversations"),
        ("POST", "/v1/videos", "videos"),
        ("GET", "/v1/realtime", "realtime"),
        ("POST", "/v1/realtime/client_secrets", "realtime"),
        ("GET", "/v1/organization/usage/completions", "organization"),
    ],
)
def test_state_has_a_name_and_no_answer(method: str, path: str, name: str) -> None:
    operation = dialect().operation(method, path)
    assert (operation.name, operation.answers, operation.json_request) == (name, False, False)
    assert operation.repeatable is (method == "GET")
    assert dialect().usage_reader(operation, CallFacts(), "application/json") is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", ""),
        ("GET", "/v1"),
        ("GET", "/v1/"),
        ("POST", "/chat/completions"),
        ("POST", "/v1/embeddings/x"),
        ("GET", "/v1/embeddings"),
        ("POST", "/v1/engines/davinci/completions"),
        ("POST", "/v10/chat/completions"),
        ("POST", "/dashboard/v1/chat/completions"),
        ("PUT", "/v1/completions"),
    ],
)
def test_other_paths_are_unknown(method: str, path: str) -> None:
    assert dialect().operation(method, path) is UNKNOWN


@pytest.mark.parametrize(
    ("base_path", "path"),
    [
        ("/openai/v1", "/openai/v1/chat/completions"),
        ("", "/chat/completions"),
        ("", "/v1/chat/completions"),
        ("", "/beta/chat/completions"),
        ("/llm", "/llm/v1/chat/completions"),
        ("/llm", "/llm/chat/completions"),
        ("/llm/v1", "/llm/v1/chat/completions"),
    ],
)
def test_the_base_path_stands_before_the_operation(base_path: str, path: str) -> None:
    assert dialect(base_path).operation("POST", path).name == "chat"
    assert dialect(base_path).operation("POST", "/elsewhere" + path) is UNKNOWN


def test_a_chat_is_described() -> None:
    body: Json = {"model": "gpt-x", "messages": [{}, {}], "tools": [{}], "temperature": 0, "stream": True}
    assert chat(body) == CallFacts("gpt-x", True, deterministic=True, asks_usage=False, has_tools=True, messages=2)


def test_a_request_without_a_json_body_is_described_as_nothing() -> None:
    assert facts("/v1/audio/transcriptions", None) == CallFacts()


def test_misshapen_members_do_no_harm() -> None:
    body: Json = {"model": 5, "messages": {}, "tools": "all", "stream": "yes", "temperature": [], "stream_options": 1}
    assert chat(body) == CallFacts()


@pytest.mark.parametrize(
    ("body", "turns"), [({"input": "hello"}, 1), ({"input": [{}, {}, {}]}, 3), ({"input": {}}, 0), ({}, 0)]
)
def test_a_response_has_turns(body: Json, turns: int) -> None:
    assert facts("/v1/responses", body).messages == turns


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/images/generations", {"temperature": 0}, False),
        ("/v1/images/generations", {"seed": 4}, True),
        ("/v1/audio/speech", {"temperature": 0}, False),
        ("/v1/audio/speech", {"seed": 4}, True),
        ("/v1/responses", {"temperature": 0}, True),
        ("/v1/completions", {"seed": 4}, True),
        ("/v1/chat/completions", {"random_seed": 4}, False),
    ],
)
def test_what_pins_the_answer_depends_on_the_operation(path: str, body: Json, expected: bool) -> None:
    assert facts(path, body).deterministic is expected


@pytest.mark.parametrize(
    "body", [{"tools": [{}]}, {"functions": [{}]}, {"web_search_options": {}}, {"tools": [{}], "tool_choice": "none"}]
)
def test_tools_are_seen(body: Json) -> None:
    assert chat(body).has_tools


@pytest.mark.parametrize("body", [{"tools": []}, {"tools": None}, {"functions": []}, {"web_search_options": None}])
def test_no_tools_are_none(body: Json) -> None:
    assert not chat(body).has_tools


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/responses", {}, False),
        ("/v1/responses", {"store": True}, False),
        ("/v1/responses", {"background": False, "previous_response_id": None, "conversation": None}, False),
        ("/v1/responses", {"background": True}, True),
        ("/v1/responses", {"previous_response_id": "resp_1"}, True),
        ("/v1/responses", {"conversation": "conv_1"}, True),
        ("/v1/responses", {"conversation": {"id": "conv_1"}}, True),
        ("/v1/responses", {"prompt": {"id": "p"}}, True),
        ("/v1/responses", {"prompt": {"id": "p", "version": "2"}}, False),
        ("/v1/chat/completions", {"store": True}, True),
        ("/v1/chat/completions", {"store": False, "metadata": {"a": "b"}}, False),
        ("/v1/embeddings", {"store": True}, False),
    ],
)
def test_state_at_the_provider_is_seen(path: str, body: Json, expected: bool) -> None:
    assert facts(path, body).stateful is expected


def test_only_a_chat_stream_needs_asking() -> None:
    assert chat({"stream": False}).asks_usage
    assert not chat({"stream": True}).asks_usage
    assert not chat({"stream": True, "stream_options": {"include_usage": False}}).asks_usage
    assert chat({"stream": True, "stream_options": {"include_usage": True}}).asks_usage
    assert facts("/v1/responses", {"stream": True}).asks_usage
    assert facts("/v1/audio/speech", {"stream_format": "sse"}) == CallFacts(stream=True)


@pytest.mark.parametrize("stream_usage", ["always", "never"])
def test_who_reports_unasked_or_never_is_not_asked(stream_usage: StreamUsage) -> None:
    provider = dialect(stream_usage=stream_usage)
    operation = provider.operation("POST", "/v1/chat/completions")
    assert chat({"stream": True}, stream_usage=stream_usage).asks_usage
    assert provider.ask_usage(operation, b'{"stream":true}', {"stream": True}) is None


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/chat/completions", {"stream": True}, True),
        ("/v1/completions", {"stream": True}, True),
        ("/v1/chat/completions", {"stream": False}, False),
        ("/v1/chat/completions", {}, False),
        ("/v1/responses", {"stream": True}, False),
        ("/v1/images/generations", {"stream": True}, False),
    ],
)
def test_asking_changes_chat_streams_alone(path: str, body: Json, expected: bool) -> None:
    provider = dialect()
    changed = provider.ask_usage(provider.operation("POST", path), orjson.dumps(body), body)
    assert (changed is not None) is expected
    if changed is not None:
        assert orjson.loads(changed) == {**body, "stream_options": {"include_usage": True}}
        assert provider.is_added_usage(b'data: {"choices":[],"usage":{"prompt_tokens":1}}')


@pytest.mark.parametrize(
    ("path", "content_type", "stream", "expected"),
    [
        ("/v1/chat/completions", "application/json", False, JsonUsageReader),
        ("/v1/chat/completions", "application/json; charset=utf-8", True, JsonUsageReader),
        ("/v1/chat/completions", "text/event-stream; charset=utf-8", True, SseUsageReader),
        ("/v1/chat/completions", "Text/Event-Stream", False, SseUsageReader),
        ("/v1/chat/completions", "", True, SseUsageReader),
        ("/v1/chat/completions", "", False, JsonUsageReader),
        ("/v1/audio/speech", "audio/mpeg", False, OpaqueReader),
        ("/v1/audio/speech", "text/event-stream", True, SseUsageReader),
        ("/v1/audio/transcriptions", "text/plain", False, OpaqueReader),
        ("/v1/audio/transcriptions", "application/json", False, JsonUsageReader),
        ("/v1/embeddings", "application/json", False, JsonUsageReader),
    ],
)
def test_the_reader_follows_the_media_type(path: str, content_type: str, stream: bool, expected: type[object]) -> None:
    provider = dialect()
    reader = provider.usage_reader(provider.operation("POST", path), CallFacts(stream=stream), content_type)
    assert isinstance(reader, expected)


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ("/v1/chat/completions", b"data: [DONE]\n\n"),
        ("/v1/responses", b'data: {"type":"response.completed","response":{}}\n\n'),
        ("/v1/images/generations", b'data: {"type":"image_generation.completed"}\n\n'),
        ("/v1/audio/speech", b'data: {"type":"speech.audio.done"}\n\n'),
    ],
)
def test_each_stream_has_its_own_end(path: str, end: bytes) -> None:
    provider = dialect()
    reader = provider.usage_reader(provider.operation("POST", path), CallFacts(stream=True), "text/event-stream")
    assert reader is not None
    reader.feed(b'data: {"choices":[]}\n\n')
    assert not reader.is_complete()
    reader.feed(end)
    assert reader.is_complete()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], b""),
        ([(b"authorization", b"Bearer sk-1")], b"sk-1"),
        ([(b"authorization", b"bearer  sk-1 ")], b"sk-1"),
        ([(b"api-key", b"k"), (b"authorization", b"Bearer sk-1")], b"sk-1"),
        ([(b"api-key", b"k")], b"k"),
        ([(b"authorization", b""), (b"api-key", b"k")], b"k"),
        ([(b"authorization", b"Basic dTpw")], b"Basic dTpw"),
        ([(b"x-other", b"k")], b""),
    ],
)
def test_the_credential_is_the_bearer_token_or_the_api_key(headers: HeaderList, expected: bytes) -> None:
    assert dialect().credential(headers, {}) == expected


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, "rate_limit_error"), (402, "insufficient_quota"), (409, "invalid_request_error"), (504, "server_error")],
)
def test_a_local_error_has_the_providers_shape(status: int, kind: str) -> None:
    shape = dialect().error(status, "over_budget", 'the "team" budget is spent')
    assert shape.content_type == b"application/json"
    error = {"message": 'the "team" budget is spent', "type": kind, "param": None, "code": "over_budget"}
    assert orjson.loads(shape.body) == {"error": error}
