"""Amazon Bedrock: paths, requests, answers, binary streams, signatures and errors."""

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from proxy.exchange.headers import HeaderList
from proxy.exchange.provider import UNKNOWN, CallFacts, Json, UsageReader
from proxy.exchange.usage import Usage
from proxy.providers.bedrock import CONVERSE, INVOKE, Bedrock
from proxy.providers.entry import ProviderEntry
from proxy.wire.eventstream import encode
from tests.providers.reading import dumped, read_all_ways

BEDROCK = Bedrock(ProviderEntry("bedrock", "bedrock", stream_usage="always", price_id="aws"))
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
MODEL = f"/model/{quote(CLAUDE, safe='')}"
FACTS = CallFacts(model=CLAUDE)
BINARY = "application/vnd.amazon.eventstream"


def message(kind: str, value: object, message_type: str = "event") -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": message_type}
    return encode(headers, dumped(value))


def chunk(value: object) -> bytes:
    return message("chunk", {"bytes": base64.b64encode(dumped(value)).decode(), "p": "abcdef"})


CONVERSED = b"".join(
    (
        message("messageStart", {"role": "assistant"}),
        message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}, "p": "abc"}),
        message("contentBlockStop", {"contentBlockIndex": 0}),
        message("messageStop", {"stopReason": "end_turn"}),
        message(
            "metadata",
            {
                "usage": {
                    "inputTokens": 10,
                    "outputTokens": 5,
                    "totalTokens": 2315,
                    "cacheReadInputTokens": 2000,
                    "cacheWriteInputTokens": 300,
                    "cacheDetails": [{"ttl": "1h", "inputTokens": 200}, {"ttl": "5m", "inputTokens": 100}],
                },
                "metrics": {"latencyMs": 42},
                "serviceTier": {"type": "flex"},
            },
        ),
    )
)
CONVERSE_USAGE = Usage(
    input_tokens=2310,
    output_tokens=5,
    cache_read_tokens=2000,
    cache_write_tokens=300,
    cache_write_1h_tokens=200,
    model=CLAUDE,
    service_tier="flex",
)
INVOKED = b"".join(
    (
        chunk(
            {
                "type": "message_start",
                "message": {
                    "id": "msg_1",
                    "model": "claude-sonnet-4-5-20250929",
                    "usage": {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 1},
                },
            }
        ),
        chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
        chunk({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}),
        chunk(
            {
                "type": "message_stop",
                "amazon-bedrock-invocationMetrics": {"inputTokenCount": 10, "outputTokenCount": 7},
            }
        ),
    )
)


def converse(content_type: str = BINARY) -> UsageReader:
    found = BEDROCK.usage_reader(CONVERSE, FACTS, content_type)
    assert found is not None
    return found


def invoke(content_type: str = BINARY) -> UsageReader:
    found = BEDROCK.usage_reader(INVOKE, FACTS, content_type)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("method", "path", "name", "answers"),
    [
        ("POST", f"{MODEL}/converse", "converse", True),
        ("POST", f"{MODEL}/converse-stream", "converse", True),
        ("POST", f"{MODEL}/invoke", "invoke_model", True),
        ("POST", f"/model/{CLAUDE}/invoke-with-response-stream", "invoke_model", True),
        ("POST", f"{MODEL}/count-tokens", "count_tokens", True),
        ("POST", "/model/amazon.titan-embed-text-v2%3A0/invoke", "embeddings", True),
        ("POST", "/model/cohere.embed-english-v3/invoke", "embeddings", True),
        ("POST", "/model/cohere.rerank-v3-5%3A0/invoke", "rerank", True),
        ("POST", f"{MODEL}/invoke-with-bidirectional-stream", "realtime", False),
        ("POST", "/guardrail/g1/version/DRAFT/apply", "guardrail", False),
        ("POST", "/async-invoke", "async_invoke", False),
        ("GET", "/async-invoke/arn", "async_invoke", False),
        ("POST", "/model-invocation-job", "batches", False),
        ("GET", "/foundation-models", "models", True),
        ("POST", "/openai/v1/chat/completions", "chat", True),
        ("POST", "/anthropic/v1/messages", "messages", True),
    ],
)
def test_operations(method: str, path: str, name: str, answers: bool) -> None:
    found = BEDROCK.operation(method, path)
    assert (found.name, found.answers) == (name, answers)


def test_embedding_is_not_sampled() -> None:
    assert not BEDROCK.operation("POST", "/model/amazon.titan-embed-text-v2%3A0/invoke").sampled
    assert BEDROCK.operation("POST", f"{MODEL}/invoke").sampled


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", f"{MODEL}/invoke"), ("POST", f"{MODEL}/unheard"), ("POST", "/model//converse2/"), ("POST", "/")],
)
def test_other_paths_are_unknown(method: str, path: str) -> None:
    assert BEDROCK.operation(method, path) is UNKNOWN


def described(path: str, body: Json | None) -> CallFacts:
    return BEDROCK.describe(BEDROCK.operation("POST", path), path, "", body)


@pytest.mark.parametrize(
    ("encoded", "model"),
    [
        (quote(CLAUDE, safe=""), CLAUDE),
        (CLAUDE, CLAUDE),
        ("global.anthropic.claude-x", "global.anthropic.claude-x"),
        (quote(f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{CLAUDE}", safe=""), CLAUDE),
        ("arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-8b", "meta.llama3-8b"),
        (quote("arn:aws:bedrock:eu-west-1:1:application-inference-profile/ab12", safe=""), "ab12"),
    ],
)
def test_the_path_names_the_model(encoded: str, model: str) -> None:
    assert described(f"/model/{encoded}/converse", {}).model == model


def test_the_path_says_whether_it_streams() -> None:
    assert described(f"{MODEL}/converse-stream", {}).stream
    assert described(f"{MODEL}/invoke-with-response-stream", {}).stream
    assert not described(f"{MODEL}/converse", {}).stream


def test_a_converse_request_is_described() -> None:
    body: Json = {"messages": [{}, {}], "toolConfig": {"tools": [{"toolSpec": {}}]}, "inferenceConfig": {"topP": 0}}
    facts = described(f"{MODEL}/converse", body)
    assert facts == CallFacts(model=CLAUDE, deterministic=True, has_tools=True, messages=2)


@pytest.mark.parametrize(
    ("body", "deterministic"),
    [
        ({"anthropic_version": "bedrock-2023-05-31", "temperature": 0}, True),
        ({"anthropic_version": "bedrock-2023-05-31", "top_k": 1}, True),
        ({"inferenceConfig": {"temperature": 0}}, True),
        ({"textGenerationConfig": {"topP": 0}}, True),
        ({"prompt": "x", "temperature": 0.0}, True),
        ({"message": "x", "p": 0}, True),
        ({"topP": 0}, True),
        ({"textGenerationConfig": {"temperature": 0.5}}, False),
        ({}, False),
    ],
)
def test_sampling_of_each_maker(body: Json, deterministic: bool) -> None:
    assert described(f"{MODEL}/invoke", body).deterministic is deterministic


def test_only_the_path_is_known_without_a_body() -> None:
    assert described(f"{MODEL}/converse", None) == CallFacts(model=CLAUDE)


def test_a_converse_stream_is_read() -> None:
    assert read_all_ways(converse, CONVERSED) == (CONVERSE_USAGE, True)


def test_an_invoke_stream_is_read() -> None:
    expected = Usage(input_tokens=100, output_tokens=7, cache_read_tokens=90, model=CLAUDE, response_id="msg_1")
    assert read_all_ways(invoke, INVOKED) == (expected, True)


def test_bedrocks_own_counts_serve_the_other_makers() -> None:
    metrics = {"inputTokenCount": 20, "outputTokenCount": 4, "cacheReadInputTokenCount": 5}
    body = chunk({"outputText": "Hi"}) + chunk(
        {"outputText": "", "completionReason": "FINISH", "amazon-bedrock-invocationMetrics": metrics}
    )
    expected = Usage(input_tokens=25, output_tokens=4, cache_read_tokens=5, model=CLAUDE)
    assert read_all_ways(invoke, body) == (expected, True)


@pytest.mark.parametrize(("make", "body"), [(converse, CONVERSED), (invoke, INVOKED)])
def test_a_beginning_of_a_next_message_changes_nothing(make: Callable[[], UsageReader], body: bytes) -> None:
    usage, complete = read_all_ways(make, body)
    assert read_all_ways(make, body + b"\x00\x00\x00\x80") == (usage, complete)
    assert complete


def test_bytes_that_are_no_message_leave_the_stream_incomplete() -> None:
    usage, complete = read_all_ways(converse, CONVERSED + b"no message at all")
    assert usage == CONVERSE_USAGE
    assert not complete


@pytest.mark.parametrize("cut", [3, 100, len(CONVERSED) - 1])
def test_a_cut_stream_is_not_complete(cut: int) -> None:
    assert read_all_ways(converse, CONVERSED[:cut]) == (None, False)


def test_an_exception_leaves_the_stream_incomplete() -> None:
    throttled = message("throttlingException", {"message": "Too many"}, "exception")
    assert read_all_ways(converse, CONVERSED + throttled)[1] is False
    assert read_all_ways(invoke, throttled) == (None, False)


@pytest.mark.parametrize("payload", [b'{"bytes":"\xc3"}', b'{"bytes":"a"}', b"{}", b"[", b'{"bytes":"eyJ1c2FnZSI="}'])
def test_malformed_chunks_are_passed_over(payload: bytes) -> None:
    body = encode({":message-type": "event", ":event-type": "chunk"}, payload)
    assert read_all_ways(invoke, body) == (None, False)


def test_a_converse_answer_is_read() -> None:
    answer = {
        "output": {"message": {}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 3, "outputTokens": 4},
        "performanceConfig": {"latency": "optimized"},
    }
    expected = Usage(input_tokens=3, output_tokens=4, model=CLAUDE, service_tier="optimized")
    assert read_all_ways(lambda: converse("application/json"), dumped(answer)) == (expected, True)


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        ({"type": "message", "id": "", "usage": {"input_tokens": 3, "output_tokens": 4}}, (3, 4)),
        ({"output": {}, "usage": {"inputTokens": 3, "outputTokens": 4, "cacheReadInputTokenCount": 2}}, (5, 4)),
        ({"inputTextTokenCount": 3, "results": [{"tokenCount": 4, "outputText": "x"}]}, (3, 4)),
        ({"embedding": [0.1], "inputTextTokenCount": 3}, (3, 0)),
        ({"generation": "x", "prompt_token_count": 3, "generation_token_count": 4}, (3, 4)),
        ({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}, (3, 4)),
    ],
)
def test_answers_of_each_maker_are_read(answer: Json, counts: tuple[int, int]) -> None:
    usage, complete = read_all_ways(lambda: invoke("application/json"), dumped(answer))
    assert complete
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == counts
    assert usage.model == CLAUDE


def test_a_maker_that_reports_nothing_has_no_usage() -> None:
    assert read_all_ways(lambda: invoke("application/json"), b'{"text":"Hi"}') == (None, True)
    assert read_all_ways(lambda: converse("application/json"), b'{"message":"No access"}') == (None, False)


SIGNED = (
    b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/bedrock/aws4_request, "
    b"SignedHeaders=host;x-amz-date, Signature=abc"
)


@pytest.mark.parametrize(
    ("headers", "query", "credential"),
    [
        ([(b"authorization", SIGNED), (b"x-amz-security-token", b"session")], {}, b"AKIDEXAMPLE"),
        ([(b"authorization", b"AWS4-ECDSA-P256-SHA256 Credential=AKID2/20260101/b/aws4_request")], {}, b"AKID2"),
        ([(b"authorization", b"Bearer bedrock-api-key-1")], {}, b"bedrock-api-key-1"),
        ([], {"X-Amz-Credential": "AKID3/20260101/us-east-1/bedrock/aws4_request"}, b"AKID3"),
        ([(b"x-amz-security-token", b"session")], {}, b""),
    ],
)
def test_credential(headers: HeaderList, query: dict[str, str], credential: bytes) -> None:
    assert BEDROCK.credential(headers, query) == credential


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "ThrottlingException"),
        (503, "ServiceUnavailableException"),
        (418, "ValidationException"),
        (502, "InternalServerException"),
    ],
)
def test_errors_have_bedrocks_shape(status: int, kind: str) -> None:
    assert json.loads(BEDROCK.error(status, "c", "Wait.").body) == {"__type": kind, "message": "Wait."}


def test_no_signed_body_is_changed() -> None:
    operation = BEDROCK.operation("POST", "/openai/v1/chat/completions")
    body: Json = {"stream": True, "messages": []}
    assert BEDROCK.describe(operation, "/openai/v1/chat/completions", "", body).asks_usage
    assert BEDROCK.ask_usage(operation, dumped(body), body) is None


def test_guests_answer_for_their_paths() -> None:
    operation = BEDROCK.operation("POST", "/anthropic/v1/messages")
    facts = BEDROCK.describe(operation, "/anthropic/v1/messages", "", {"model": "claude", "messages": [{}]})
    assert facts == CallFacts(model="claude", messages=1)
    reader = BEDROCK.usage_reader(operation, facts, "application/json")
    assert reader is not None
    reader.feed(b'{"type":"message","model":"claude","usage":{"input_tokens":1,"output_tokens":2}}')
    assert reader.usage() == Usage(input_tokens=1, output_tokens=2, model="claude")
