"""OpenAI's chat completions and the older completions, whole and streamed, with the variations of compatible servers.

Rules: chunk shapes and their order are the real ones: a role chunk, content chunks, a finish chunk, then, only when
`stream_options.include_usage` asks for it, a chunk with empty `choices` that carries the usage, then `[DONE]`. Servers
that put the usage on the finish chunk instead (Mistral, DeepSeek), or inside `x_groq`, do so here as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import orjson

from proxy.demo.asks import Answer, Ask, as_count, as_json, as_list, as_text, is_sampled, sse, stream, whole
from proxy.demo.content import fill, prompt_text, tokens, words
from proxy.exchange.headers import HeaderList
from proxy.exchange.provider import Json

DONE: Final = b"data: [DONE]\n\n"
DATED: Final = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "o3": "o3-2025-04-16",
}


@dataclass(frozen=True, slots=True)
class Flavour:
    """How a compatible server differs from OpenAI."""

    usage_on_finish: bool = False  # the finish chunk carries the usage, asked for or not
    groq: bool = False  # ... inside `x_groq`
    comment: bytes = b""  # an SSE comment that comes first
    details: bool = True  # token details and obfuscation
    service_tier: str = "default"  # empty: neither this nor a fingerprint is reported


@dataclass(frozen=True, slots=True)
class Reply:
    """What one choice says: words, or the arguments of a tool call."""

    pieces: list[str]
    tool: str = ""
    cut: bool = False

    @property
    def text(self) -> str:
        """The whole text or arguments."""
        return "".join(self.pieces)

    @property
    def finish(self) -> str:
        """OpenAI's finish reason."""
        return "tool_calls" if self.tool else "length" if self.cut else "stop"


def model_name(ask: Ask) -> str:
    """The model as the answer names it."""
    asked = as_text(ask.json.get("model"))
    return DATED.get(asked, asked)


def asked_tool(tools: list[object], choice: object, messages: list[object]) -> Json:
    """The tool that this request makes the model call, or {}: one is forced, or the last user turn says "tool"."""
    functions = [as_json(as_json(tool).get("function")) or as_json(tool) for tool in tools]
    named = as_json(as_json(choice).get("function")).get("name") or as_json(choice).get("name")
    for function in functions:
        if named and function.get("name") == named:
            return function
    last = as_json(messages[-1]) if messages else {}
    wanted = choice in ("required", "any") or as_json(choice).get("type") == "any"
    if as_text(last.get("role")) == "user" and "tool" in prompt_text(last.get("content")).lower():
        wanted = True
    return functions[0] if functions and wanted and choice != "none" else {}


def reply(ask: Ask, index: int = 0) -> Reply:
    """What choice `index` says."""
    seed = ask.text_seed(sampled=is_sampled(ask.json)) + bytes([index % 256])
    tool = asked_tool(as_list(ask.json.get("tools")), ask.json.get("tool_choice"), as_list(ask.json.get("messages")))
    if tool:
        arguments = orjson.dumps(fill(as_json(tool.get("parameters")), seed)).decode()
        return Reply([arguments[at : at + 6] for at in range(0, len(arguments), 6)], tool=as_text(tool.get("name")))
    shape = as_json(ask.json.get("response_format"))
    if as_text(shape.get("type")).startswith("json"):
        schema = as_json(as_json(shape.get("json_schema")).get("schema"))
        document = fill(schema, seed) if schema else {"answer": "".join(words(seed, 6))}
        text = orjson.dumps(document).decode()
        return Reply([text[at : at + 8] for at in range(0, len(text), 8)])
    limit = as_count(ask.json.get("max_completion_tokens")) or as_count(ask.json.get("max_tokens")) or ask.words
    return Reply(words(seed, min(limit, ask.words)), cut=limit < ask.words)


def usage(ask: Ask, replies: list[Reply], flavour: Flavour) -> Json:
    """The usage object."""
    prompt = tokens(prompt_text(ask.json.get("messages") or ask.json.get("prompt")))
    completion = sum(len(each.pieces) for each in replies)
    counts: Json = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    if flavour.details:
        counts["prompt_tokens_details"] = {"cached_tokens": 0, "audio_tokens": 0, "cache_write_tokens": 0}
        counts["completion_tokens_details"] = {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        }
    return counts


def chat(ask: Ask, flavour: Flavour, headers: HeaderList) -> Answer:
    """POST /chat/completions."""
    replies = [reply(ask, index) for index in range(min(as_count(ask.json.get("n")) or 1, 8))]
    if ask.json.get("stream") is True:
        return stream(list(_chat_events(ask, replies, flavour)), headers=headers)
    choices = [_choice(ask, index, each) for index, each in enumerate(replies)]
    envelope = _envelope(ask, "chat.completion", flavour)
    return whole({**envelope, "choices": choices, "usage": usage(ask, replies, flavour)}, headers=headers)


def completions(ask: Ask, flavour: Flavour, headers: HeaderList) -> Answer:
    """POST /completions."""
    said = reply(ask)
    envelope: Json = {
        "id": ask.unique("cmpl-"),
        "object": "text_completion",
        "created": ask.created,
        "model": model_name(ask),
    }
    counts = usage(ask, [said], flavour)
    if ask.json.get("stream") is not True:
        choice = {"text": said.text, "index": 0, "logprobs": None, "finish_reason": said.finish}
        return whole({**envelope, "choices": [choice], "usage": counts}, headers=headers)
    events = [_completion_event(envelope, piece, None) for piece in said.pieces]
    events.append(_completion_event(envelope, "", said.finish))
    if _wants_usage(ask):
        events.append(sse({**envelope, "choices": [], "usage": counts}))
    return stream([*events, DONE], headers=headers)


def _completion_event(envelope: Json, text: str, finish: str | None) -> bytes:
    return sse({**envelope, "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": finish}]})


def _wants_usage(ask: Ask) -> bool:
    return as_json(ask.json.get("stream_options")).get("include_usage") is True


def _envelope(ask: Ask, kind: str, flavour: Flavour) -> Json:
    envelope: Json = {
        "id": ask.unique("chatcmpl-"),
        "object": kind,
        "created": ask.created,
        "model": model_name(ask),
    }
    if flavour.service_tier:
        envelope["service_tier"] = flavour.service_tier
        envelope["system_fingerprint"] = "fp_" + ask.seed.hex()[:10]
    return envelope


def _choice(ask: Ask, index: int, said: Reply) -> Json:
    message: Json = {"role": "assistant", "content": said.text, "refusal": None, "annotations": []}
    if said.tool:
        function = {"name": said.tool, "arguments": said.text}
        message["content"] = None
        message["tool_calls"] = [{"id": ask.unique("call_"), "type": "function", "function": function}]
    return {"index": index, "message": message, "logprobs": None, "finish_reason": said.finish}


def _deltas(ask: Ask, said: Reply) -> Iterator[Json]:
    """The deltas of one choice, the role first."""
    if not said.tool:
        yield {"role": "assistant", "content": "", "refusal": None}
        for piece in said.pieces:
            yield {"content": piece}
        return
    opening = {
        "index": 0,
        "id": ask.unique("call_"),
        "type": "function",
        "function": {"name": said.tool, "arguments": ""},
    }
    yield {"role": "assistant", "content": None, "tool_calls": [opening], "refusal": None}
    for piece in said.pieces:
        yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def _chat_events(ask: Ask, replies: list[Reply], flavour: Flavour) -> Iterator[bytes]:
    envelope = _envelope(ask, "chat.completion.chunk", flavour)
    counts = usage(ask, replies, flavour)
    asked = _wants_usage(ask)
    empty: Json = {"usage": None} if asked else {}
    if flavour.comment:
        yield flavour.comment
    for index, said in enumerate(replies):
        for number, delta in enumerate(_deltas(ask, said)):
            chunk: Json = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
            # The padding that hides token lengths from onlookers: real chunks carry it unless asked not to.
            padding: Json = {"obfuscation": "abcdefghijkl"[: number % 12]} if flavour.details else {}
            yield sse({**envelope, "choices": [chunk], **empty, **padding})
        last: Json = {"index": index, "delta": {}, "logprobs": None, "finish_reason": said.finish}
        extra = _finish_extra(ask, counts, flavour) if index == len(replies) - 1 else empty
        yield sse({**envelope, "choices": [last], **(extra or empty)})
    if asked and not flavour.usage_on_finish:
        yield sse({**envelope, "choices": [], "usage": counts})
    yield DONE


def _finish_extra(ask: Ask, counts: Json, flavour: Flavour) -> Json:
    if flavour.groq:
        return {"x_groq": {"id": ask.unique("req_"), "usage": counts}}
    return {"usage": counts} if flavour.usage_on_finish else {}
