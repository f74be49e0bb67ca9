"""Anthropic's paths, requests, answers, streams and errors."""

import json
from collections.abc import Mapping

import pytest

from proxy.exchange.headers import HeaderList
from proxy.exchange.provider import UNKNOWN, CallFacts, Json, UsageReader
from proxy.exchange.usage import Usage
from proxy.providers.anthropic import MESSAGES, Anthropic
from proxy.providers.entry import ProviderEntry
from tests.providers.reading import dumped, fed, read_all_ways, sse

ANTHROPIC = Anthropic(ProviderEntry("anthropic", "anthropic", ("api.anthropic.com",), price_id="anthropic"))

START: Json = {
    "type": "message_start",
    "message": {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [],
        "stop_reason": None,
        "usage": {
            "input_tokens": 12,
            "cache_creation_input_tokens": 300,
            "cache_read_input_tokens": 2000,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
            "output_tokens": 1,
            "service_tier": "standard",
        },
    },
}
STREAM = sse(
    ("message_start", START),
    ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    ("ping", {"type": "ping"}),
    ("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
    ("content_block_stop", {"type": "content_block_stop", "index": 0}),
    ("message_delta", {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 7}}),
    (
        "message_delta",
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 15, "input_tokens": 14, "server_tool_use": {"web_search_requests": 2}},
        },
    ),
    ("message_stop", {"type": "message_stop"}),
)
STREAMED = Usage(
    input_tokens=14 + 300 + 2000,
    output_tokens=15,
    cache_read_tokens=2000,
    cache_write_tokens=300,
    cache_write_1h_tokens=200,
    web_searches=2,
    model="claude-sonnet-4-5-20250929",
    service_tier="standard",
    response_id="msg_01",
)


def reader(content_type: str = "text/event-stream; charset=utf-8") -> UsageReader:
    found = ANTHROPIC.usage_reader(MESSAGES, CallFacts(), content_type)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("method", "path", "name", "answers", "repeatable"),
    [
        ("POST", "/v1/messages", "messages", True, True),
        ("POST", "/v1/messages/count_tokens", "count_tokens", True, True),
        ("POST", "/v1/complete", "completions", True, True),
        ("GET", "/v1/models", "models", True, True),
        ("GET", "/v1/models/claude-x", "models", True, True),
        ("POST", "/v1/messages/batches", "batches", False, False),
        ("GET", "/v1/messages/batches/msgbatch_1/results", "batches", False, True),
        ("POST", "/v1/files", "files", False, False),
        ("GET", "/v1/files/f1/content", "files", False, True),
        ("DELETE", "/v1/skills/s1", "skills", False, False),
    ],
)
def test_operations(method: str, path: str, name: str, answers: bool, repeatable: bool) -> None:
    found = ANTHROPIC.operation(method, path)
    assert (found.name, found.answers, found.repeatable) == (name, answers, repeatable)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/messages"), ("POST", "/v1/models"), ("POST", "/"), ("POST", "/v2/messages")]
)
def test_other_paths_are_unknown(method: str, path: str) -> None:
    assert ANTHROPIC.operation(method, path) is UNKNOWN


def test_counting_tokens_is_not_sampled() -> None:
    assert MESSAGES.sampled
    assert not ANTHROPIC.operation("POST", "/v1/messages/count_tokens").sampled


def test_a_base_path_stands_before_the_paths() -> None:
    provider = Anthropic(ProviderEntry("mine", "anthropic", base_path="/llm"))
    assert provider.operation("POST", "/llm/v1/messages") is MESSAGES


def described(body: Json) -> CallFacts:
    return ANTHROPIC.describe(MESSAGES, "/v1/messages", "", body)


def test_a_request_is_described() -> None:
    facts = described({"model": "claude-x", "stream": True, "messages": [{}, {}], "tools": [{"name": "t"}]})
    assert facts == CallFacts(model="claude-x", stream=True, has_tools=True, messages=2)


@pytest.mark.parametrize(
    ("body", "deterministic"),
    [
        ({"temperature": 0}, True),
        ({"temperature": 0.0}, True),
        ({"top_p": 0}, True),
        ({"top_k": 1}, True),
        ({"temperature": 1}, False),
        ({"temperature": False}, False),
        ({"top_k": True}, False),
        ({"temperature": None}, False),
        ({}, False),
    ],
)
def test_sampling(body: Json, deterministic: bool) -> None:
    assert described(body).deterministic is deterministic


@pytest.mark.parametrize(
    ("body", "stateful"),
    [
        ({"container": "container_1"}, True),
        ({"mcp_servers": [{"url": "https://tools.example"}]}, True),
        ({"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}, True),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, False),
        ({"tools": [{"name": "mine"}]}, False),
        ({"tools": "nonsense", "messages": 3}, False),
        ({"container": None}, False),
    ],
)
def test_containers_are_state(body: Json, stateful: bool) -> None:
    assert described(body).stateful is stateful


def test_nothing_is_known_without_a_body() -> None:
    assert ANTHROPIC.describe(MESSAGES, "/v1/messages", "", None) == CallFacts()


def test_a_stream_is_read() -> None:
    assert read_all_ways(reader, STREAM) == (STREAMED, True)


def test_a_stream_without_event_lines_is_read() -> None:
    values = [json.loads(line[6:]) for line in STREAM.decode().splitlines() if line.startswith("data: ")]
    assert read_all_ways(reader, sse(*(("", value) for value in values))) == (STREAMED, True)


def test_bytes_after_the_end_change_nothing() -> None:
    trailing = b": comment\n\ndata: not json\n\n\n\nevent: ping"
    assert read_all_ways(reader, STREAM + trailing) == (STREAMED, True)


@pytest.mark.parametrize("cut", [10, 200, 600, 900, len(STREAM) - 1])
def test_a_cut_stream_is_not_complete(cut: int) -> None:
    usage, complete = read_all_ways(reader, STREAM[:cut])
    assert not complete
    assert usage is None or usage.input_tokens in (2312, 2314)


def test_deltas_are_cumulative_and_never_summed() -> None:
    delta = {"type": "message_delta", "usage": {"output_tokens": 9}}
    usage, _ = read_all_ways(reader, sse(("message_start", START), *[("message_delta", delta)] * 3))
    assert usage is not None
    assert usage.output_tokens == 9


def test_null_counts_leave_the_older_ones_standing() -> None:
    delta = {"type": "message_delta", "usage": {"output_tokens": 9, "cache_read_input_tokens": None}}
    usage, _ = read_all_ways(reader, sse(("message_start", START), ("message_delta", delta)))
    assert usage is not None
    assert usage.cache_read_tokens == 2000


def test_an_error_event_leaves_the_stream_incomplete() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    stop = ("message_stop", {"type": "message_stop"})
    usage, complete = read_all_ways(reader, sse(("message_start", START), ("error", error), stop))
    assert usage is not None
    assert not complete


def test_fast_mode_is_a_tier_of_its_own() -> None:
    answer = {"type": "message", "model": "m", "usage": {"input_tokens": 1, "output_tokens": 1, "speed": "fast"}}
    usage, _ = read_all_ways(lambda: reader("application/json"), dumped(answer))
    assert usage is not None
    assert usage.service_tier == "fast"


def test_an_answer_is_read() -> None:
    answer = {**START["message"], "stop_reason": "end_turn"} if isinstance(START["message"], dict) else {}
    usage, complete = read_all_ways(lambda: reader("application/json"), dumped(answer))
    assert complete
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.response_id) == (2312, 1, "msg_01")


def test_a_token_count_is_no_usage() -> None:
    assert read_all_ways(lambda: reader("application/json"), b'{"input_tokens":42}') == (None, True)


@pytest.mark.parametrize("body", [b'{"type":"error","error":{"type":"api_error"}}', b"[]", b'{"usage"', b"", b"\xff{"])
def test_what_is_no_answer_is_not_complete(body: bytes) -> None:
    assert fed(reader("application/json"), body).is_complete() is False


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: [1]\n\n", b'data: {"type":"message_start","message":3}\n\n'])
def test_malformed_events_are_passed_over(data: bytes) -> None:
    assert read_all_ways(reader, data) == (None, False)


def test_stored_state_is_not_read() -> None:
    batches = ANTHROPIC.operation("GET", "/v1/messages/batches/b1/results")
    assert ANTHROPIC.usage_reader(batches, CallFacts(), "application/json") is None


@pytest.mark.parametrize(
    ("headers", "credential"),
    [
        ([(b"x-api-key", b"sk-ant-1")], b"sk-ant-1"),
        ([(b"authorization", b"Bearer token"), (b"x-api-key", b"sk-ant-1")], b"sk-ant-1"),
        ([(b"authorization", b"Bearer token")], b"token"),
        ([(b"x-api-key", b" "), (b"authorization", b"bearer  token ")], b"token"),
        ([], b""),
    ],
)
def test_credential(headers: HeaderList, credential: bytes) -> None:
    query: Mapping[str, str] = {}
    assert ANTHROPIC.credential(headers, query) == credential


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "rate_limit_error"),
        (402, "billing_error"),
        (400, "invalid_request_error"),
        (418, "invalid_request_error"),
        (502, "api_error"),
        (529, "overloaded_error"),
    ],
)
def test_errors_have_anthropics_shape(status: int, kind: str) -> None:
    shape = ANTHROPIC.error(status, "budget_exceeded", "No money left.")
    assert shape.content_type == b"application/json"
    assert json.loads(shape.body) == {"type": "error", "error": {"type": kind, "message": "No money left."}}


def test_no_stream_must_be_asked() -> None:
    assert ANTHROPIC.ask_usage(MESSAGES, b"{}", {"stream": True}) is None
    assert ANTHROPIC.is_added_usage(b'data: {"usage":{}}') is False
    assert (ANTHROPIC.name, ANTHROPIC.price_id) == ("anthropic", "anthropic")
