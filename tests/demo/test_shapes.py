"""The simulated answers are read by the providers' readers as the real ones would be: usage, and the end."""

from dataclasses import dataclass, field

import orjson
import pytest

from config.schema import Settings
from proxy.demo.simulator import Simulator
from proxy.providers.registry import Registry
from tests.support.simulator import MakeClient

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello there"}]}
CLAUDE = {"model": "claude-haiku-4-5", "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]}
GEMINI = {"contents": [{"parts": [{"text": "hello"}], "role": "user"}]}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "hello"}]}]}
INVOKE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99, "messages": CLAUDE["messages"]}
ASKED = {"stream": True, "stream_options": {"include_usage": True}}


@dataclass(frozen=True)
class Shape:
    """One kind of call, and whether its answer reports usage."""

    host: str
    target: str
    body: dict[str, object]
    reports: bool = True
    headers: dict[str, str] = field(default_factory=dict)


GOOGLE = "generativelanguage.googleapis.com"
VERTEX = "us-central1-aiplatform.googleapis.com"
MODELS = "/v1/projects/p/locations/us-central1/publishers/google/models"
BEDROCK = "bedrock-runtime.us-east-1.amazonaws.com"
CLAUDE_ON_BEDROCK = "/model/anthropic.claude-haiku-4-5-20251001-v1%3A0"
SHAPES = {
    "openai chat": Shape("api.openai.com", "/v1/chat/completions", CHAT),
    "openai chat stream": Shape("api.openai.com", "/v1/chat/completions", {**CHAT, **ASKED}),
    "openai chat stream unasked": Shape("api.openai.com", "/v1/chat/completions", {**CHAT, "stream": True}, False),
    "openai responses": Shape("api.openai.com", "/v1/responses", {"model": "m", "input": "hi"}),
    "openai responses stream": Shape("api.openai.com", "/v1/responses", {"model": "m", "input": "hi", "stream": True}),
    "openai completions": Shape("api.openai.com", "/v1/completions", {"model": "m", "prompt": "hi"}),
    "openai embeddings": Shape("api.openai.com", "/v1/embeddings", {"model": "m", "input": ["a", "b"]}),
    "azure chat": Shape("t.openai.azure.com", "/openai/deployments/d/chat/completions?api-version=1", CHAT),
    "groq stream": Shape("api.groq.com", "/openai/v1/chat/completions", {**CHAT, **ASKED}),
    "mistral stream": Shape("api.mistral.ai", "/v1/chat/completions", {**CHAT, "stream": True}),
    "deepseek stream": Shape("api.deepseek.com", "/chat/completions", {**CHAT, "stream": True}),
    "openrouter stream": Shape("openrouter.ai", "/api/v1/chat/completions", {**CHAT, **ASKED}),
    "together chat": Shape("api.together.xyz", "/v1/chat/completions", CHAT),
    "fireworks chat": Shape("api.fireworks.ai", "/inference/v1/chat/completions", CHAT),
    "xai chat": Shape("api.x.ai", "/v1/chat/completions", CHAT),
    "anthropic": Shape("api.anthropic.com", "/v1/messages", CLAUDE),
    "anthropic stream": Shape("api.anthropic.com", "/v1/messages", {**CLAUDE, "stream": True}),
    "gemini": Shape(GOOGLE, "/v1beta/models/gemini-2.5-flash:generateContent", GEMINI),
    "gemini sse": Shape(GOOGLE, "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", GEMINI),
    "gemini array": Shape(GOOGLE, "/v1beta/models/gemini-2.5-flash:streamGenerateContent", GEMINI),
    "vertex": Shape(VERTEX, f"{MODELS}/gemini-2.5-flash:generateContent", GEMINI),
    "converse": Shape(BEDROCK, f"{CLAUDE_ON_BEDROCK}/converse", CONVERSE),
    "converse stream": Shape(BEDROCK, f"{CLAUDE_ON_BEDROCK}/converse-stream", CONVERSE),
    "invoke": Shape(BEDROCK, f"{CLAUDE_ON_BEDROCK}/invoke", INVOKE),
    "invoke stream": Shape(BEDROCK, f"{CLAUDE_ON_BEDROCK}/invoke-with-response-stream", {**INVOKE, "stream": True}),
    "cohere": Shape("api.cohere.com", "/v2/chat", CHAT),
    "cohere stream": Shape("api.cohere.com", "/v2/chat", {**CHAT, "stream": True}),
    "cohere embed": Shape("api.cohere.com", "/v2/embed", {"model": "m", "texts": ["a"], "input_type": "search_query"}),
    "ollama stream": Shape("ollama.com", "/api/chat", CHAT),
    "ollama": Shape("ollama.com", "/api/chat", {**CHAT, "stream": False}),
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.from_settings(Settings())


@pytest.mark.parametrize("name", SHAPES)
async def test_readers_understand_the_answer(
    plain_simulator: Simulator, make_client: MakeClient, registry: Registry, name: str
) -> None:
    shape = SHAPES[name]
    provider = registry.by_name("ollama") if "ollama" in name else registry.match(shape.host, 443)
    assert provider is not None
    path, _, query = shape.target.partition("?")
    operation = provider.operation("POST", path)
    assert operation.name != "unknown"
    facts = provider.describe(operation, path, query, dict(shape.body))

    url = f"{plain_simulator.url}/@{shape.host}{shape.target}"
    answer = await make_client(plain_simulator).post(url, json=shape.body)
    assert answer.status_code == 200
    reader = provider.usage_reader(operation, facts, answer.headers["content-type"])
    assert reader is not None
    assert not reader.is_complete()
    for at in range(0, len(answer.content), 97):
        reader.feed(answer.content[at : at + 97])

    usage = reader.usage()
    assert reader.is_complete()
    assert (usage is not None and usage.input_tokens > 0) == shape.reports
    if usage is not None and "embed" not in name:
        assert usage.output_tokens == plain_simulator.options.events


@pytest.mark.parametrize(
    "name", ["openai chat", "anthropic", "gemini", "vertex", "converse", "cohere", "mistral stream"]
)
async def test_a_call_without_a_credential_is_refused(
    plain_simulator: Simulator, make_client: MakeClient, name: str
) -> None:
    shape = SHAPES[name]
    client = make_client(plain_simulator)
    client.headers.pop("authorization")
    answer = await client.post(f"/@{shape.host}{shape.target}", json=shape.body)
    assert answer.status_code == 401
    assert orjson.loads(answer.content)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("openai chat", None),
        ("openai responses", None),
        ("anthropic", None),
        ("cohere", None),
        ("ollama", None),
        ("gemini", "/v1beta/models/no-such-model:generateContent"),
        ("converse", "/model/no-such-model/converse"),
    ],
)
async def test_an_unknown_model_is_not_found(
    plain_simulator: Simulator, make_client: MakeClient, name: str, target: str | None
) -> None:
    shape = SHAPES[name]
    body = {**shape.body, **({"model": "no-such-model"} if "model" in shape.body else {})}
    answer = await make_client(plain_simulator).post(f"/@{shape.host}{target or shape.target}", json=body)
    assert answer.status_code == 404


async def test_a_stream_says_what_the_whole_answer_says(plain_simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(plain_simulator)
    ask = {**CHAT, "temperature": 0, "stream": True, "max_tokens": 5}
    body = (await client.post("/@api.openai.com/v1/chat/completions", json=ask)).content
    events = [orjson.loads(event[6:]) for event in body.split(b"\n\n")[:-2]]
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert sum("content" in event["choices"][0]["delta"] for event in events) == 1 + 5
    assert events[-1]["choices"][0]["finish_reason"] == "length"
    assert len({event["id"] for event in events}) == 1
