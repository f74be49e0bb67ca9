"""Anthropic's API: messages whole and streamed, token counts, models, errors.

Rules: event names and their order are the real ones (message_start, content_block_start, ping, deltas,
content_block_stop, message_delta with cumulative usage, message_stop). A prompt with `cache_control` is reported as a
cache write the first time and as a cache read from then on; `input_tokens` excludes both, as it really does.
"""

from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl

import orjson

from proxy.demo.asks import Answer, Ask, as_count, as_json, as_list, as_text, is_sampled, sse, stream, whole
from proxy.demo.content import fill, prompt_text, tokens, words
from proxy.demo.openai_chat import Reply, asked_tool
from proxy.exchange.headers import HeaderList
from proxy.exchange.provider import Json

_MISSING_MODEL: Final = "no-such-model"
_MODELS: Final = ("claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001", "claude-opus-4-1-20250805")
_DATED: Final = {name.rpartition("-")[0]: name for name in _MODELS}
_KINDS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def answer(ask: Ask) -> Answer:
    """Any call to the API."""
    if not (ask.header(b"x-api-key") or ask.header(b"authorization")):
        return error(ask, 401, "x-api-key header is required")
    if ask.json.get("model") == _MISSING_MODEL or f"/{_MISSING_MODEL}" in ask.path:
        return error(ask, 404, f"model: {_MISSING_MODEL}")
    match ask.path.removeprefix("/v1/"):
        case "messages" if ask.call.method == "POST":
            return messages(ask)
        case "messages/count_tokens":
            return whole({"input_tokens": _prompt_tokens(ask)}, headers=_fields(ask))
        case path if path == "models" or path.startswith("models/"):
            return _models(ask, path.partition("/")[2])
    return error(ask, 404, "Not found")


def error(ask: Ask, status: int, message: str) -> Answer:
    """Anthropic's error shape."""
    kind = _KINDS.get(status, "api_error")
    identifier = ask.unique("req_")
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": identifier}
    return whole(body, status=status, headers=[(b"request-id", identifier.encode())])


def messages(ask: Ask, model: str = "") -> Answer:
    """POST /v1/messages; other hosts of the same models pass the model's name."""
    if not as_list(ask.json.get("messages")):
        return error(ask, 400, "messages: Field required")
    said = reply(ask)
    if ask.json.get("stream") is True:
        events = [sse(event, as_text(event["type"])) for event in message_events(ask, said, model)]
        return stream(events, headers=_fields(ask))
    return whole(message(ask, said, model), headers=_fields(ask))


def reply(ask: Ask) -> Reply:
    """What the model says."""
    seed = ask.text_seed(sampled=is_sampled(ask.json))
    turns = as_list(ask.json.get("messages"))
    tool = asked_tool(as_list(ask.json.get("tools")), ask.json.get("tool_choice"), turns)
    if tool:
        arguments = orjson.dumps(fill(as_json(tool.get("input_schema")), seed)).decode()
        return Reply([arguments[at : at + 6] for at in range(0, len(arguments), 6)], tool=as_text(tool.get("name")))
    limit = as_count(ask.json.get("max_tokens")) or ask.words
    return Reply(words(seed, min(limit, ask.words)), cut=limit < ask.words)


def message(ask: Ask, said: Reply, model: str = "") -> Json:
    """The whole message."""
    block: Json = {"type": "text", "text": said.text}
    if said.tool:
        block = {"type": "tool_use", "id": ask.unique("toolu_"), "name": said.tool, "input": orjson.loads(said.text)}
    used = {**_input_usage(ask), "output_tokens": len(said.pieces), "service_tier": "standard"}
    return {
        **_opening(ask, model),
        "content": [block],
        "stop_reason": _stop(said),
        "stop_sequence": None,
        "usage": used,
    }


def message_events(ask: Ask, said: Reply, model: str = "") -> Iterator[Json]:
    """The streamed message's events in order; `type` is each one's name."""
    asked = _input_usage(ask)
    opening = {**_opening(ask, model), "content": [], "stop_reason": None, "stop_sequence": None}
    opening["usage"] = {**asked, "output_tokens": 1, "service_tier": "standard"}
    yield {"type": "message_start", "message": opening}
    block: Json = {"type": "text", "text": ""}
    if said.tool:
        block = {"type": "tool_use", "id": ask.unique("toolu_"), "name": said.tool, "input": {}}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    yield {"type": "ping"}
    for piece in said.pieces:
        delta = (
            {"type": "input_json_delta", "partial_json": piece} if said.tool else {"type": "text_delta", "text": piece}
        )
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    total = {
        **{name: count for name, count in asked.items() if name != "cache_creation"},
        "output_tokens": len(said.pieces),
    }
    yield {"type": "message_delta", "delta": {"stop_reason": _stop(said), "stop_sequence": None}, "usage": total}
    yield {"type": "message_stop"}


def _opening(ask: Ask, model: str) -> Json:
    name = model or as_text(ask.json.get("model"))
    return {
        "model": _DATED.get(name, name),
        "id": ask.unique("msg_01", 22),
        "type": "message",
        "role": "assistant",
    }


def _stop(said: Reply) -> str:
    return "tool_use" if said.tool else "max_tokens" if said.cut else "end_turn"


def _prompt_tokens(ask: Ask) -> int:
    return tokens(prompt_text([ask.json.get("system"), ask.json.get("messages"), ask.json.get("tools")]))


def _cacheable(value: object) -> str:
    """The text of all blocks marked with `cache_control`."""
    if isinstance(value, list):
        return "".join([_cacheable(item) for item in value])
    if isinstance(value, dict):
        if "cache_control" in value:
            return prompt_text({name: item for name, item in value.items() if name != "cache_control"})
        return _cacheable(list(value.values()))
    return ""


def _input_usage(ask: Ask) -> Json:
    marked = _cacheable([ask.json.get("system"), ask.json.get("messages"), ask.json.get("tools")])
    cached = tokens(marked) if marked else 0
    known = bool(marked) and ask.prompt_cache.saw(marked.encode())
    written = 0 if known else cached
    return {
        "input_tokens": max(1, _prompt_tokens(ask) - cached),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached if known else 0,
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
    }


def _fields(ask: Ask) -> HeaderList:
    return [
        (b"request-id", ask.unique("req_").encode()),
        (b"anthropic-organization-id", b"00000000-0000-4000-8000-000000000000"),
        (b"anthropic-ratelimit-requests-limit", b"4000"),
        (b"anthropic-ratelimit-requests-remaining", b"3999"),
    ]


def _models(ask: Ask, name: str) -> Answer:
    if name:
        return whole(_model(name), headers=_fields(ask))
    asked = dict(parse_qsl(ask.call.query))
    begin = _MODELS.index(asked["after_id"]) + 1 if asked.get("after_id") in _MODELS else 0
    names = _MODELS[begin : begin + int(asked.get("limit") or len(_MODELS))]
    body: Json = {"data": [_model(each) for each in names], "has_more": _MODELS[-1] not in names}
    if names:
        body |= {"first_id": names[0], "last_id": names[-1]}
    return whole(body, headers=_fields(ask))


def _model(name: str) -> Json:
    return {"type": "model", "id": name, "display_name": name, "created_at": "2025-09-29T00:00:00Z"}
