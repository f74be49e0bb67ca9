"""What may differ between two calls without changing what the simulated model says, and lists that come in pages."""

import orjson

from proxy.demo.simulator import Simulator
from tests.support.simulator import CHAT, OPENAI, MakeClient

CLAUDE = "/@api.anthropic.com/v1"
GEMINI = "/@generativelanguage.googleapis.com/v1beta"


def spoken(stream: str) -> str:
    """The text of a chat stream."""
    events = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: {")]
    choices = [choice for event in events for choice in orjson.loads(event)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


async def test_a_model_says_the_same_streamed_or_not_with_usage_or_without(
    simulator: Simulator, make_client: MakeClient
) -> None:
    client = make_client(simulator)
    whole = await client.post(f"{OPENAI}/chat/completions", json=CHAT)
    streamed = await client.post(f"{OPENAI}/chat/completions", json={**CHAT, "stream": True})
    with_usage = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    reported = await client.post(f"{OPENAI}/chat/completions", json=with_usage)
    unlike = await client.post(f"{OPENAI}/chat/completions", json={**CHAT, "top_p": 0.5, "stream": True})
    off = await client.post(f"{OPENAI}/chat/completions", json={**CHAT, "stream": False})
    text = off.json()["choices"][0]["message"]["content"]
    assert spoken(streamed.text) == spoken(reported.text) == text == whole.json()["choices"][0]["message"]["content"]
    assert spoken(unlike.text) != text


async def test_claudes_models_come_in_pages(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    every = (await client.get(f"{CLAUDE}/models")).json()
    assert (len(every["data"]), every["has_more"]) == (3, False)
    first = (await client.get(f"{CLAUDE}/models?limit=2")).json()
    rest = (await client.get(f"{CLAUDE}/models?limit=2&after_id={first['last_id']}")).json()
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert first["data"] + rest["data"] == every["data"]


async def test_geminis_models_come_in_pages(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    every = (await client.get(f"{GEMINI}/models?key=k")).json()
    assert "nextPageToken" not in every
    first = (await client.get(f"{GEMINI}/models?key=k&pageSize=3")).json()
    rest = (await client.get(f"{GEMINI}/models?key=k&pageSize=3&pageToken={first['nextPageToken']}")).json()
    assert first["models"] + rest["models"] == every["models"]
    assert "nextPageToken" not in rest
