"""Cohere's API: paths, requests, answers, streams of both versions, errors."""

import json
from collections.abc import Callable
from functools import partial

import pytest

from proxy.exchange.provider import UNKNOWN, CallFacts, Json, UsageReader
from proxy.exchange.usage import Usage
from proxy.providers.cohere import CHAT, POSTS, Cohere
from proxy.providers.entry import ProviderEntry
from proxy.providers.readers import LIMIT_BYTES
from tests.providers.reading import dumped, read_all_ways, sse

COHERE = Cohere(ProviderEntry("cohere", "cohere", stream_usage="always", price_id="cohere"))
COUNTS: Json = {
    "billed_units": {"input_tokens": 5.0, "output_tokens": 418.0},
    "tokens": {"input_tokens": 71.0, "output_tokens": 420.0},
}
STREAM = sse(
    ("message-start", {"id": "c1", "type": "message-start", "delta": {"message": {"role": "assistant"}}}),
    ("content-start", {"type": "content-start", "index": 0, "delta": {}}),
    ("content-delta", {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "message-"}}}}),
    ("content-end", {"type": "content-end", "index": 0}),
    ("message-end", {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": COUNTS}}),
)
OLD_EVENTS: tuple[Json, ...] = (
    {"is_finished": False, "event_type": "stream-start", "generation_id": "g1"},
    {"is_finished": False, "event_type": "text-generation", "text": "Hi"},
    {
        "is_finished": True,
        "event_type": "stream-end",
        "finish_reason": "COMPLETE",
        "response": {"response_id": "r1", "text": "Hi", "meta": COUNTS},
    },
)
LINES = b"".join(dumped(event) + b"\n" for event in OLD_EVENTS)


def reader(content_type: str, *, stream: bool = True, operation: str = "chat") -> UsageReader:
    found = COHERE.usage_reader(POSTS[operation], CallFacts(stream=stream), content_type)
    assert found is not None
    return found


def events() -> UsageReader:
    return reader("text/event-stream")


def lines() -> UsageReader:
    return reader("application/stream+json")


@pytest.mark.parametrize(
    ("method", "path", "name", "answers"),
    [
        ("POST", "/v2/chat", "chat", True),
        ("POST", "/v1/chat", "chat", True),
        ("POST", "/v1/generate", "completions", True),
        ("POST", "/v2/embed", "embeddings", True),
        ("POST", "/v2/rerank", "rerank", True),
        ("POST", "/v1/classify", "classify", True),
        ("POST", "/v1/tokenize", "tokenize", True),
        ("GET", "/v1/models", "models", True),
        ("POST", "/v1/embed-jobs", "batches", False),
        ("GET", "/v1/datasets/d1", "files", False),
        ("POST", "/compatibility/v1/chat/completions", "chat", True),
        ("POST", "/compatibility/v1/embeddings", "embeddings", True),
    ],
)
def test_operations(method: str, path: str, name: str, answers: bool) -> None:
    found = COHERE.operation(method, path)
    assert (found.name, found.answers) == (name, answers)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v2/chat"), ("POST", "/v3/chat"), ("POST", "/v1/unheard"), ("POST", "/v1/models")]
)
def test_other_paths_are_unknown(method: str, path: str) -> None:
    assert COHERE.operation(method, path) is UNKNOWN


def described(body: Json | None) -> CallFacts:
    return COHERE.describe(CHAT, "/v2/chat", "", body)


def test_a_request_is_described() -> None:
    facts = described({"model": "command-a-03-2025", "stream": True, "messages": [{}, {}], "tools": [{}]})
    assert facts == CallFacts(model="command-a-03-2025", stream=True, has_tools=True, messages=2)
    assert described(None) == CallFacts()


def test_the_older_version_counts_its_history() -> None:
    facts = described({"message": "Hi", "chat_history": [{}, {}], "connectors": [{"id": "web-search"}]})
    assert (facts.messages, facts.has_tools, facts.stateful) == (3, True, False)
    assert described({"message": "Hi", "conversation_id": "c"}).stateful


@pytest.mark.parametrize(
    ("body", "deterministic"),
    [
        ({"temperature": 0}, True),
        ({"p": 0}, True),
        ({"k": 1}, True),
        ({"seed": 4}, True),
        ({"k": 0}, False),
        ({}, False),
    ],
)
def test_sampling(body: Json, deterministic: bool) -> None:
    assert described(body).deterministic is deterministic


def test_events_are_read_and_billed_units_counted() -> None:
    assert read_all_ways(events, STREAM) == (Usage(input_tokens=5, output_tokens=418, response_id="c1"), True)


def test_lines_are_read() -> None:
    expected = Usage(input_tokens=5, output_tokens=418, response_id="r1")
    assert read_all_ways(lines, LINES) == (expected, True)
    assert read_all_ways(lines, LINES[:-1]) == (expected, True)


def test_the_older_version_may_come_as_events() -> None:
    body = sse(*((str(event["event_type"]), event) for event in OLD_EVENTS))
    assert read_all_ways(events, body) == (Usage(input_tokens=5, output_tokens=418, response_id="r1"), True)


@pytest.mark.parametrize(("make", "body"), [(events, STREAM + b": bye\n\n"), (lines, LINES + b'{"a":1}\n\nnonsense')])
def test_bytes_after_the_end_change_nothing(make: Callable[[], UsageReader], body: bytes) -> None:
    usage, complete = read_all_ways(make, body)
    assert usage is not None
    assert (usage.output_tokens, complete) == (418, True)


@pytest.mark.parametrize("cut", [10, len(STREAM) - 1])
def test_cut_events_are_not_complete(cut: int) -> None:
    assert read_all_ways(events, STREAM[:cut]) == (None, False)


def test_cut_lines_are_not_complete() -> None:
    assert read_all_ways(lines, LINES[:-2]) == (None, False)


def test_a_failed_answer_is_not_complete() -> None:
    end: Json = {"type": "message-end", "delta": {"finish_reason": "ERROR", "usage": COUNTS}}
    usage, complete = read_all_ways(events, sse(("message-end", end)))
    assert usage is not None
    assert not complete


def test_an_endless_line_is_given_up() -> None:
    found = lines()
    for _ in range(LIMIT_BYTES // 65_536 + 1):
        found.feed(b"x" * 65_536)
    found.feed(b"\n" + LINES)
    assert (found.usage(), found.is_complete()) == (None, False)


@pytest.mark.parametrize(
    ("operation", "answer", "expected"),
    [
        ("chat", {"id": "c", "finish_reason": "COMPLETE", "usage": COUNTS}, Usage(5, 418, response_id="c")),
        (
            "chat",
            {"id": "c", "usage": {"tokens": {"input_tokens": 7, "output_tokens": 8}}},
            Usage(7, 8, response_id="c"),
        ),
        ("embed", {"id": "e", "meta": {"billed_units": {"input_tokens": 9}}}, Usage(9, response_id="e")),
        ("rerank", {"id": "r", "meta": {"billed_units": {"search_units": 2}}}, Usage(web_searches=2, response_id="r")),
        ("classify", {"id": "k", "meta": {"billed_units": {"classifications": 2}}}, None),
        ("tokenize", {"tokens": [1, 2], "token_strings": []}, None),
    ],
)
def test_answers_are_read(operation: str, answer: Json, expected: Usage | None) -> None:
    make = partial(reader, "application/json", stream=False, operation=operation)
    assert read_all_ways(make, dumped(answer)) == (expected, True)


def test_a_large_embedding_is_read_from_its_end() -> None:
    answer = {
        "id": "e",
        "embeddings": {"float": [[0.123456789] * 120_000]},
        "meta": {"billed_units": {"input_tokens": 9}},
    }
    found = reader("application/json", stream=False, operation="embed")
    body = dumped(answer)
    assert len(body) > LIMIT_BYTES
    found.feed(body)
    usage = found.usage()
    assert usage is not None
    assert (usage.input_tokens, found.is_complete()) == (9, True)


def test_an_error_document_is_not_complete() -> None:
    assert read_all_ways(lambda: reader("application/json", stream=False), b'{"message":"invalid"}') == (None, False)


def test_compatible_streams_are_asked() -> None:
    operation = COHERE.operation("POST", "/compatibility/v1/chat/completions")
    body: Json = {"stream": True, "messages": []}
    assert not COHERE.describe(operation, "/compatibility/v1/chat/completions", "", body).asks_usage
    assert COHERE.ask_usage(operation, dumped(body), body)
    assert COHERE.ask_usage(CHAT, dumped(body), body) is None


def test_credential_and_error() -> None:
    assert COHERE.credential([(b"authorization", b"Bearer co-key")], {}) == b"co-key"
    assert json.loads(COHERE.error(429, "c", "Wait.").body) == {"message": "Wait."}
