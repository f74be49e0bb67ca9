"""Ollama: paths, requests, streams that are the default, errors."""

import json
from functools import partial

import pytest

from proxy.exchange.provider import UNKNOWN, CallFacts, Json, UsageReader
from proxy.exchange.usage import Usage
from proxy.providers.entry import ProviderEntry
from proxy.providers.ollama import POSTS, Ollama
from tests.providers.reading import dumped, read_all_ways

OLLAMA = Ollama(ProviderEntry("ollama", "ollama", stream_usage="ask"))
CHAT = POSTS["/api/chat"]
DONE: Json = {
    "model": "llama3.2",
    "created_at": "2026-01-01T00:00:00Z",
    "message": {"role": "assistant", "content": ""},
    "done_reason": "stop",
    "done": True,
    "prompt_eval_count": 26,
    "eval_count": 298,
}
STREAM = b"".join(
    dumped(line) + b"\n"
    for line in (
        {"model": "llama3.2", "message": {"role": "assistant", "content": 'a "done":true b'}, "done": False},
        {"model": "llama3.2", "message": {"role": "assistant", "content": "c"}, "done": False},
        DONE,
    )
)
EXPECTED = Usage(input_tokens=26, output_tokens=298, model="llama3.2")


def reader(content_type: str = "application/x-ndjson", *, stream: bool = True) -> UsageReader:
    found = OLLAMA.usage_reader(CHAT, CallFacts(stream=stream), content_type)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("method", "path", "name", "answers", "repeatable"),
    [
        ("POST", "/api/chat", "chat", True, True),
        ("POST", "/api/generate", "completions", True, True),
        ("POST", "/api/embed", "embeddings", True, True),
        ("POST", "/api/embeddings", "embeddings", True, True),
        ("GET", "/api/tags", "models", False, True),
        ("POST", "/api/show", "models", False, True),
        ("POST", "/api/pull", "model_management", False, False),
        ("DELETE", "/api/delete", "model_management", False, False),
        ("POST", "/api/blobs/sha256:abc", "model_management", False, False),
        ("POST", "/v1/chat/completions", "chat", True, True),
        ("POST", "/v1/messages", "messages", True, True),
        ("GET", "/v1/models", "models", True, True),
    ],
)
def test_operations(method: str, path: str, name: str, answers: bool, repeatable: bool) -> None:
    found = OLLAMA.operation(method, path)
    assert (found.name, found.answers, found.repeatable) == (name, answers, repeatable)


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/chat"), ("POST", "/api/unheard"), ("GET", "/")])
def test_other_paths_are_unknown(method: str, path: str) -> None:
    assert OLLAMA.operation(method, path) is UNKNOWN


def described(path: str, body: Json | None) -> CallFacts:
    return OLLAMA.describe(OLLAMA.operation("POST", path), path, "", body)


def test_a_stream_is_the_default() -> None:
    assert described("/api/chat", {"model": "m", "messages": [{}]}).stream
    assert described("/api/generate", {"model": "m", "prompt": "x"}).stream
    assert not described("/api/chat", {"model": "m", "messages": [{}], "stream": False}).stream
    assert not described("/api/embed", {"model": "m", "input": "x"}).stream


def test_a_request_is_described() -> None:
    body: Json = {"model": "m", "messages": [{}, {}], "tools": [{}], "options": {"temperature": 0}}
    assert described("/api/chat", body) == CallFacts(
        model="m", stream=True, deterministic=True, has_tools=True, messages=2
    )
    assert described("/api/chat", None) == CallFacts()


@pytest.mark.parametrize(
    ("options", "deterministic"),
    [({"seed": 1}, True), ({"top_p": 0}, True), ({"top_k": 1}, True), ({"temperature": 0.8}, False), (None, False)],
)
def test_sampling(options: Json | None, deterministic: bool) -> None:
    assert described("/api/chat", {"messages": [{}], "options": options}).deterministic is deterministic


def test_a_call_without_a_prompt_loads_a_model() -> None:
    assert described("/api/generate", {"model": "m"}).stateful
    assert described("/api/chat", {"model": "m", "messages": [], "keep_alive": 0}).stateful
    assert not described("/api/generate", {"model": "m", "prompt": "x"}).stateful
    assert not described("/api/embeddings", {"model": "m", "prompt": "x"}).stateful
    assert not described("/api/embed", {"model": "m", "input": ["x"]}).stateful


def test_lines_are_read() -> None:
    assert read_all_ways(reader, STREAM) == (EXPECTED, True)


def test_bytes_after_the_end_change_nothing() -> None:
    assert read_all_ways(reader, STREAM + b"\r\n{") == (EXPECTED, True)


@pytest.mark.parametrize("cut", [10, 200, len(STREAM) - 2])
def test_a_cut_stream_is_not_complete(cut: int) -> None:
    assert read_all_ways(reader, STREAM[:cut]) == (None, False)


def test_an_error_line_leaves_the_stream_incomplete() -> None:
    assert read_all_ways(reader, b'{"done":false}\n{"error":"out of memory"}\n') == (None, False)


def test_one_answer_is_read() -> None:
    for stream in (True, False):
        make = partial(reader, "application/json; charset=utf-8", stream=stream)
        assert read_all_ways(make, dumped(DONE)) == (EXPECTED, True)
        assert read_all_ways(make, b'{"error":"model not found"}') == (None, False)


def test_loading_a_model_uses_nothing() -> None:
    assert read_all_ways(reader, b'{"model":"m","done":true,"done_reason":"load"}\n') == (None, True)


def test_guests_answer_for_their_paths() -> None:
    operation = OLLAMA.operation("POST", "/v1/chat/completions")
    body: Json = {"model": "m", "stream": True, "messages": [{}]}
    facts = OLLAMA.describe(operation, "/v1/chat/completions", "", body)
    assert (facts.model, facts.asks_usage) == ("m", False)
    assert OLLAMA.ask_usage(operation, dumped(body), body)
    messages = OLLAMA.operation("POST", "/v1/messages")
    assert OLLAMA.describe(messages, "/v1/messages", "", {"model": "m", "messages": [{}]}).messages == 1


def test_credential_and_error() -> None:
    assert OLLAMA.credential([], {}) == b""
    assert OLLAMA.credential([(b"authorization", b"Bearer k")], {}) == b"k"
    assert json.loads(OLLAMA.error(503, "c", "Down.").body) == {"error": "Down."}
    assert (OLLAMA.name, OLLAMA.price_id) == ("ollama", "ollama")  # for price files: the list has none
