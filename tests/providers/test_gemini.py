"""The Gemini API: paths, requests, answers, streams in both forms, errors."""

import json
from functools import partial

import pytest

from proxy.exchange.headers import HeaderList
from proxy.exchange.provider import UNKNOWN, CallFacts, Json, UsageReader
from proxy.exchange.usage import Usage
from proxy.providers.entry import ProviderEntry
from proxy.providers.gemini import EMBEDDINGS, GENERATE, Gemini
from proxy.providers.json_array import ArraySplitter
from proxy.providers.readers import LIMIT_BYTES
from tests.providers.reading import dumped, read_all_ways, sse

GEMINI = Gemini(ProviderEntry("gemini", "gemini", stream_usage="always", price_id="google"))
MODEL = "/v1beta/models/gemini-2.5-flash"


def chunk(text: str, finish: str | None = None, **counts: object) -> Json:
    candidate: Json = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "usageMetadata": {"promptTokenCount": 100, "totalTokenCount": 100, **counts},
        "modelVersion": "gemini-2.5-flash",
        "responseId": "r1",
    }


CHUNKS = (
    chunk('Say "finishReason" and }{][ \\'),
    chunk("more", candidatesTokenCount=5),
    chunk(
        "end",
        "STOP",
        candidatesTokenCount=11,
        thoughtsTokenCount=20,
        toolUsePromptTokenCount=3,
        cachedContentTokenCount=64,
        promptTokensDetails=[{"modality": "TEXT", "tokenCount": 70}, {"modality": "AUDIO", "tokenCount": 30}],
        candidatesTokensDetails=[{"modality": "AUDIO", "tokenCount": 4}],
    ),
)
EXPECTED = Usage(
    input_tokens=103,
    output_tokens=31,
    cache_read_tokens=64,
    reasoning_tokens=20,
    input_audio_tokens=30,
    output_audio_tokens=4,
    model="gemini-2.5-flash",
    response_id="r1",
)
EVENTS = sse(*(("", value) for value in CHUNKS)).replace(b"\n\n", b"\r\n\r\n")
ARRAY = ("[" + "\n,\r\n".join(json.dumps(value, indent=2) for value in CHUNKS) + "\n]\n").encode()


def reader(content_type: str, *, stream: bool = True) -> UsageReader:
    found = GEMINI.usage_reader(GENERATE, CallFacts(stream=stream), content_type)
    assert found is not None
    return found


def events() -> UsageReader:
    return reader("text/event-stream")


def array() -> UsageReader:
    return reader("application/json; charset=UTF-8")


@pytest.mark.parametrize(
    ("method", "path", "name", "answers"),
    [
        ("POST", f"{MODEL}:generateContent", "generate_content", True),
        ("POST", "/v1/models/gemini-2.5-flash:generateContent", "generate_content", True),
        ("POST", "/v1alpha/models/g:streamGenerateContent", "generate_content", True),
        ("POST", "/v1beta/tunedModels/mine:generateContent", "generate_content", True),
        ("POST", f"{MODEL}:countTokens", "count_tokens", True),
        ("POST", "/v1beta/models/gemini-embedding-001:embedContent", "embeddings", True),
        ("POST", "/v1beta/models/gemini-embedding-001:batchEmbedContents", "embeddings", True),
        ("POST", "/v1beta/models/imagen-4.0-generate-001:predict", "images", True),
        ("POST", "/v1beta/models/veo-3:predictLongRunning", "operations", False),
        ("POST", f"{MODEL}:batchGenerateContent", "batches", False),
        ("GET", "/v1beta/models", "models", True),
        ("GET", MODEL, "models", True),
        ("POST", "/upload/v1beta/files", "files", False),
        ("GET", "/v1beta/files/abc", "files", False),
        ("GET", "/download/v1beta/files/abc:download", "unknown", False),
        ("POST", "/v1beta/cachedContents", "cached_contents", False),
        ("PATCH", "/v1beta/cachedContents/c1", "cached_contents", False),
        ("GET", "/v1beta/operations/o1", "operations", False),
        ("POST", "/v1beta/tunedModels", "fine_tuning", False),
        ("POST", "/v1beta/interactions", "interactions", False),
        ("POST", "/v1beta/openai/chat/completions", "chat", True),
        ("POST", "/v1beta/openai/embeddings", "embeddings", True),
    ],
)
def test_operations(method: str, path: str, name: str, answers: bool) -> None:
    found = GEMINI.operation(method, path)
    assert (found.name, found.answers) == (name, answers)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{MODEL}:generateContent"),
        ("POST", f"{MODEL}:unheardOf"),
        ("POST", "/v1beta/models"),
        ("POST", "/models/g:generateContent"),
        ("POST", "/v1beta/unheard/of"),
        ("POST", "/v1beta/openai/unheard/of"),
        ("POST", "/"),
    ],
)
def test_other_paths_are_unknown(method: str, path: str) -> None:
    assert GEMINI.operation(method, path) is UNKNOWN


def described(body: Json, path: str = f"{MODEL}:generateContent") -> CallFacts:
    return GEMINI.describe(GEMINI.operation("POST", path), path, "", body)


def test_the_path_names_model_and_streaming() -> None:
    facts = described({"contents": [{}, {}, {}], "tools": [{"googleSearch": {}}]}, f"{MODEL}:streamGenerateContent")
    assert facts == CallFacts(model="gemini-2.5-flash", stream=True, has_tools=True, messages=3)
    assert described({}).stream is False


@pytest.mark.parametrize(
    ("body", "deterministic"),
    [
        ({"generationConfig": {"temperature": 0}}, True),
        ({"generation_config": {"temperature": 0.0}}, True),
        ({"generationConfig": {"topP": 0}}, True),
        ({"generationConfig": {"top_p": 0}}, True),
        ({"generationConfig": {"topK": 1}}, True),
        ({"generationConfig": {"top_k": 1}}, True),
        ({"generationConfig": {"seed": 7}}, True),
        ({"generationConfig": {"temperature": 0.1, "topK": 40}}, False),
        ({"generationConfig": []}, False),
        ({"temperature": 0}, False),
    ],
)
def test_sampling(body: Json, deterministic: bool) -> None:
    assert described(body).deterministic is deterministic


def test_state_is_not_described() -> None:
    assert GEMINI.describe(GEMINI.operation("GET", MODEL), MODEL, "", None) == CallFacts()


def test_events_are_read() -> None:
    assert read_all_ways(events, EVENTS) == (EXPECTED, True)


def test_an_array_is_read() -> None:
    assert read_all_ways(array, ARRAY) == (EXPECTED, True)


def test_a_compact_array_is_read() -> None:
    assert read_all_ways(array, dumped(list(CHUNKS))) == (EXPECTED, True)


def test_bytes_after_the_array_leave_what_was_read() -> None:
    usage, _ = read_all_ways(array, ARRAY + b"  \n")
    assert usage == EXPECTED
    assert read_all_ways(array, ARRAY + b"[{}]")[1] is False


def test_bytes_after_the_last_event_change_nothing() -> None:
    assert read_all_ways(events, EVENTS + b": bye\r\n\r\ndata: {") == (EXPECTED, True)


@pytest.mark.parametrize("cut", [1, 100, len(ARRAY) // 2, len(ARRAY) - 3])
def test_a_cut_array_is_not_complete(cut: int) -> None:
    assert read_all_ways(array, ARRAY[:cut])[1] is False


def test_events_without_a_finish_reason_are_not_complete() -> None:
    usage, complete = read_all_ways(events, sse(("", CHUNKS[0]), ("", CHUNKS[1])))
    assert usage is not None
    assert (usage.output_tokens, complete) == (5, False)


def test_counts_may_come_after_the_finish_reason() -> None:
    first: Json = {"candidates": [{"finishReason": "STOP"}]}
    last: Json = {"usageMetadata": {"promptTokenCount": 8, "candidatesTokenCount": 9}, "modelVersion": "g"}
    assert read_all_ways(events, sse(("", first), ("", last))) == (
        Usage(input_tokens=8, output_tokens=9, model="g"),
        True,
    )


def test_a_blocked_prompt_is_a_complete_answer() -> None:
    blocked: Json = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}
    assert read_all_ways(events, sse(("", blocked))) == (Usage(input_tokens=4), True)


def test_an_error_in_a_stream_leaves_it_incomplete() -> None:
    error: Json = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    assert read_all_ways(events, sse(("", CHUNKS[2]), ("", error)))[1] is False
    assert read_all_ways(array, dumped([error])) == (None, False)


@pytest.mark.parametrize("body", [b'{"error":{}}', b"]", b'"', b"[1,2", b'[{"finishReason"}]', b""])
def test_what_is_no_stream_is_not_complete(body: bytes) -> None:
    assert read_all_ways(array, body) == (None, False)


def test_an_endless_object_is_given_up() -> None:
    found = array()
    found.feed(b'[{"text":"')
    for _ in range(LIMIT_BYTES // 65_536 + 1):
        found.feed(b"x" * 65_536)
    found.feed(b'"}]')
    assert (found.usage(), found.is_complete()) == (None, False)


def test_an_endless_event_is_given_up() -> None:
    found = events()
    found.feed(EVENTS)
    for _ in range(LIMIT_BYTES // 65_536 + 2):
        found.feed(b"data: " + b"x" * 65_536)
    assert (found.usage(), found.is_complete()) == (None, False)


def test_the_splitter_holds_no_more_than_the_open_object() -> None:
    splitter = ArraySplitter()
    assert splitter.feed(b'[{"a":"\\"}{"},{"b":[{}]},') == [b'{"a":"\\"}{"}', b'{"b":[{}]}']
    assert splitter.feed(b'{"c":1') == []
    assert splitter.feed(b"}]") == [b'{"c":1}']
    assert splitter.is_closed


def test_one_answer_is_read() -> None:
    make = partial(reader, "application/json", stream=False)
    assert read_all_ways(make, dumped(CHUNKS[2])) == (EXPECTED, True)
    assert read_all_ways(make, b'{"error":{"code":400}}') == (None, False)
    assert read_all_ways(make, b'{"totalTokens":5}') == (None, True)


@pytest.mark.parametrize(
    ("counts", "tier"),
    [
        ({"serviceTier": "FLEX"}, "flex"),
        ({"serviceTier": "SERVICE_TIER_PRIORITY"}, "priority"),
        ({"trafficType": "ON_DEMAND"}, ""),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, "priority"),
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, "provisioned_throughput"),
    ],
)
def test_service_tiers(counts: Json, tier: str) -> None:
    usage, _ = read_all_ways(lambda: reader("application/json", stream=False), dumped(chunk("x", "STOP", **counts)))
    assert usage is not None
    assert usage.service_tier == tier


def test_embeddings_are_read() -> None:
    found = GEMINI.usage_reader(EMBEDDINGS, CallFacts(), "application/json")
    assert found is not None
    found.feed(b'{"embedding":{"values":[0.1]},"usageMetadata":{"promptTokenCount":6}}')
    assert (found.usage(), found.is_complete()) == (Usage(input_tokens=6), True)


def test_compatible_paths_speak_openai() -> None:
    path = "/v1beta/openai/chat/completions"
    operation = GEMINI.operation("POST", path)
    body: Json = {"model": "gemini-2.5-flash", "stream": True, "messages": [{}], "temperature": 0}
    facts = GEMINI.describe(operation, path, "", body)
    assert (facts.model, facts.stream, facts.deterministic, facts.asks_usage) == ("gemini-2.5-flash", True, True, False)
    changed = GEMINI.ask_usage(operation, dumped(body), body)
    assert changed is not None
    assert json.loads(changed)["stream_options"] == {"include_usage": True}
    usage_event = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}'
    assert GEMINI.is_added_usage(usage_event)
    found = GEMINI.usage_reader(operation, facts, "text/event-stream")
    assert found is not None
    found.feed(usage_event + b"\n\ndata: [DONE]\n\n")
    assert (found.usage(), found.is_complete()) == (Usage(input_tokens=3, output_tokens=2), True)


def test_own_streams_are_never_asked() -> None:
    assert GEMINI.ask_usage(GENERATE, b"{}", {}) is None
    assert (GEMINI.name, GEMINI.price_id) == ("gemini", "google")


def test_stored_state_is_not_read() -> None:
    assert GEMINI.usage_reader(GEMINI.operation("GET", "/v1beta/files"), CallFacts(), "application/json") is None


@pytest.mark.parametrize(
    ("headers", "query", "credential"),
    [
        ([(b"x-goog-api-key", b"AIza1")], {}, b"AIza1"),
        ([], {"key": "AIza2"}, b"AIza2"),
        ([(b"authorization", b"Bearer ya29")], {"key": "AIza2"}, b"ya29"),
        ([], {"access_token": "t"}, b"t"),
        ([], {}, b""),
    ],
)
def test_credential(headers: HeaderList, query: dict[str, str], credential: bytes) -> None:
    assert GEMINI.credential(headers, query) == credential


@pytest.mark.parametrize(
    ("status", "word"),
    [(429, "RESOURCE_EXHAUSTED"), (503, "UNAVAILABLE"), (418, "INVALID_ARGUMENT"), (504, "DEADLINE_EXCEEDED")],
)
def test_errors_have_googles_shape(status: int, word: str) -> None:
    shape = GEMINI.error(status, "rate_limited", "Slow down.")
    assert json.loads(shape.body) == {"error": {"code": status, "message": "Slow down.", "status": word}}
