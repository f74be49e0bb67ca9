"""What every dialect promises, whatever it is fed: it is pure, it never raises, and it keeps credentials apart."""

from collections.abc import Mapping

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.exchange.headers import HeaderList
from proxy.exchange.provider import UNKNOWN, CallFacts, Json, Operation, Provider
from proxy.exchange.usage import Usage
from proxy.providers.entry import ProviderEntry
from proxy.providers.registry import DIALECTS
from tests.support.exchanges import REGISTRY

DIALECT_NAMES = sorted(DIALECTS)
PATHS = [
    "/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/models", "/v1/messages",
    "/v1/messages/count_tokens", "/v1beta/models/gemini-2.5-flash:generateContent",
    "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
    "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent",
    "/openai/deployments/d/chat/completions", "/model/anthropic.claude/converse", "/model/m/converse-stream",
    "/model/m/invoke", "/model/m/invoke-with-response-stream", "/v2/chat", "/v2/embed", "/v2/rerank", "/api/chat",
    "/api/generate", "/v1/audio/transcriptions", "/v1/audio/speech", "/v1/images/generations", "/v1/completions",
    "/v1/moderations", "/v1/fim/completions", "/v1/files", "/", "",
]  # fmt: skip
KEYS = [
    "model", "stream", "messages", "input", "tools", "functions", "temperature", "top_p", "seed", "random_seed",
    "store", "stream_options", "include_usage", "content", "role", "system", "contents", "parts", "generationConfig",
    "toolConfig", "usage", "usageMetadata", "inferenceConfig", "options", "prompt", "previous_response_id",
    "background", "conversation", "metadata", "n", "choices", "delta", "type", "message", "error", "response", "x",
]  # fmt: skip

paths = st.one_of(st.sampled_from(PATHS), st.text(max_size=60).map(lambda text: "/" + text), st.text(max_size=30))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=10),
    st.sampled_from(["assistant", "user", "message_start", "message_delta", "message_stop", "response.completed", "0"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)),
    max_leaves=15,
)
bodies = st.dictionaries(st.sampled_from(KEYS), values, max_size=8)
queries = st.sampled_from(["", "alt=sse", "key=k", "api-version=2024-10-21", "=&&=", "%zz"])
methods = st.sampled_from(["GET", "POST", "DELETE", "HEAD", "PUT", "", "get", "\x00"])
content_types = st.sampled_from(
    ["application/json", "text/event-stream; charset=utf-8", "application/vnd.amazon.eventstream",
     "application/x-ndjson", "audio/mpeg", "text/plain", "", ";", "APPLICATION/JSON"]
)  # fmt: skip
streams = st.one_of(
    st.binary(max_size=300),
    values.map(lambda value: b"data: " + _json(value) + b"\n\n"),
    values.map(lambda value: _json(value) + b"\n"),
    values.map(lambda value: b"[" + _json(value) + b","),
    st.sampled_from([b"data: [DONE]\n\n", b"event: message_stop\ndata: {}\n\n", b"\n\n", b"{", b"}", b"\r\n\r\n"]),
)


fewer = settings(max_examples=40)  # for each of ten dialects


def _json(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except (TypeError, ValueError):  # an integer or a text that JSON cannot hold
        return b"{}"


@pytest.fixture(scope="module", params=DIALECT_NAMES)
def provider(request: pytest.FixtureRequest) -> Provider:
    name = request.param
    found = REGISTRY.by_name(name)
    return found or DIALECTS[name](ProviderEntry(name=name, dialect=name, hosts=("example.com",)))


@fewer
@given(methods, paths)
def test_the_table_of_operations_never_raises(provider: Provider, method: str, path: str) -> None:
    operation = provider.operation(method, path)
    assert isinstance(operation, Operation)
    assert operation.name
    if method not in ("GET", "HEAD", "POST"):
        assert not operation.answers


@fewer
@given(paths, queries, st.one_of(st.none(), bodies))
def test_describing_never_raises(provider: Provider, path: str, query: str, body: Json | None) -> None:
    operation = provider.operation("POST", path)
    facts = provider.describe(operation, path, query, body)
    assert isinstance(facts, CallFacts)
    assert isinstance(facts.model, str)
    assert isinstance(facts.messages, int)
    assert all(isinstance(flag, bool) for flag in (facts.stream, facts.deterministic, facts.asks_usage, facts.stateful))


@fewer
@given(paths, bodies)
def test_asking_for_usage_leaves_a_request_that_asks_and_is_otherwise_the_same(
    provider: Provider, path: str, body: Json
) -> None:
    raw = _json(body)
    parsed = orjson.loads(raw)
    asked = provider.ask_usage(provider.operation("POST", path), raw, parsed)
    if asked is None:
        return
    changed = orjson.loads(asked)
    assert {key: value for key, value in changed.items() if key != "stream_options"} == {
        key: value for key, value in parsed.items() if key != "stream_options"
    }
    assert provider.ask_usage(provider.operation("POST", path), asked, changed) is None


@fewer
@given(st.binary(max_size=200))
def test_telling_the_added_event_never_raises(provider: Provider, event: bytes) -> None:
    assert provider.is_added_usage(event) in (True, False)


@fewer
@given(paths, content_types, st.lists(streams, max_size=8), st.booleans())
def test_readers_never_raise(
    provider: Provider, path: str, content_type: str, pieces: list[bytes], streams_asked: bool
) -> None:
    operation = provider.operation("POST", path)
    reader = provider.usage_reader(operation, CallFacts(model="m", stream=streams_asked), content_type)
    if reader is None:
        return
    for piece in pieces:
        reader.feed(piece)
        reader.usage()
        reader.is_complete()
    usage = reader.usage()
    assert usage is None or isinstance(usage, Usage)
    if usage is not None:
        counts = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.reasoning_tokens)
        assert all(isinstance(count, int) and count >= 0 for count in counts)


@fewer
@given(paths, content_types, streams)
def test_an_empty_answer_is_never_complete(provider: Provider, path: str, content_type: str, piece: bytes) -> None:
    reader = provider.usage_reader(provider.operation("POST", path), CallFacts(), content_type)
    assert reader is None or not reader.is_complete()


@fewer
@given(st.integers(400, 599), st.text(max_size=20), st.text(max_size=40))
def test_a_local_error_is_json_that_names_its_reason(provider: Provider, status: int, code: str, message: str) -> None:
    message = message.encode("utf-8", "replace").decode()
    code = code.encode("utf-8", "replace").decode()
    shape = provider.error(status, code, message)
    assert b"json" in shape.content_type
    assert isinstance(orjson.loads(shape.body), dict)
    assert message in str(orjson.loads(shape.body)) or repr(message)[1:-1] in str(orjson.loads(shape.body))


WAYS: list[tuple[HeaderList, Mapping[str, str]]] = [
    ([(b"authorization", b"Bearer %s")], {}),
    ([(b"x-api-key", b"%s")], {}),
    ([(b"api-key", b"%s")], {}),
    ([(b"x-goog-api-key", b"%s")], {}),
    ([(b"authorization", b"AWS4-HMAC-SHA256 Credential=%s/20260101/us-east-1/bedrock/aws4_request, Signature=0")], {}),
    ([], {"key": "%s"}),
]


@pytest.mark.parametrize("way", range(len(WAYS)))
def test_two_keys_are_two_credentials_where_the_dialect_reads_them(provider: Provider, way: int) -> None:
    def sent(key: bytes) -> bytes:
        headers, query = WAYS[way]
        fields = [(name, value.replace(b"%s", key)) for name, value in headers]
        return provider.credential(fields, {name: value.replace("%s", key.decode()) for name, value in query.items()})

    one, other = sent(b"AKIAONE"), sent(b"AKIATWO")
    assert one != other or (one, other) == (b"", b"")
    assert sent(b"AKIAONE") == one


def test_every_dialect_reads_its_usual_credential(provider: Provider) -> None:
    assert provider.credential([(b"authorization", b"Bearer secret")], {}) == b"secret"
    assert provider.credential([], {}) == b""


def test_what_is_unknown_is_never_answered_again(provider: Provider) -> None:
    assert provider.operation("POST", "/no/such/path") in (UNKNOWN, provider.operation("POST", "/no/such/other"))
    assert not provider.operation("POST", "/no/such/path").answers
    assert not provider.operation("POST", "/no/such/path").repeatable


def test_names_are_stable_words(provider: Provider) -> None:
    assert provider.name == provider.name.lower()
    assert provider.name.isidentifier() or "-" in provider.name
    assert isinstance(provider.price_id, str)
