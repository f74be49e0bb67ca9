"""Amazon Bedrock's runtime: Converse and InvokeModel, whole and as a binary event stream.

Rules: the model stands in the path and not in the answer; a stream's usage comes in the `metadata` event (Converse) or
in the last chunk's `amazon-bedrock-invocationMetrics` (InvokeModel). InvokeModel speaks the model maker's own format:
Anthropic's here. Signatures are required, not checked.
"""

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

import orjson

from proxy.demo import anthropic_wire
from proxy.demo.asks import Answer, Ask, as_count, as_json, as_text, is_sampled, stream, whole
from proxy.demo.content import prompt_text, tokens, words
from proxy.demo.openai_chat import Reply
from proxy.exchange.provider import Json
from proxy.wire.eventstream import encode

_PATH: Final = re.compile(
    r"^/model/(?P<model>.+)/(?P<operation>converse|converse-stream|invoke|invoke-with-response-stream)$"
)
_STREAM_TYPE: Final = b"application/vnd.amazon.eventstream"
_KINDS: Final = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}


def answer(ask: Ask) -> Answer:
    """Any call to the runtime or to the list of models."""
    if not ask.header(b"authorization"):
        return error(ask, 401, "Missing Authentication Token")
    found = _PATH.match(ask.path)
    if found is None:
        return _models(ask)
    model = unquote(found["model"])
    if model == "no-such-model":
        return error(ask, 404, "The provided model identifier is invalid.")
    match found["operation"]:
        case "converse":
            return _converse(ask)
        case "converse-stream":
            return stream(list(_converse_events(ask)), content_type=_STREAM_TYPE)
        case "invoke":
            return whole(anthropic_wire.message(ask, anthropic_wire.reply(ask), model), headers=_metrics(ask))
    return stream(list(_invoke_events(ask, model)), content_type=_STREAM_TYPE)


def error(ask: Ask, status: int, message: str) -> Answer:
    """Amazon's error shape: the kind is a field of the head."""
    kind = _KINDS.get(status, "InternalServerException")
    fields = [(b"x-amzn-requestid", ask.unique("", 36).encode()), (b"x-amzn-errortype", kind.encode())]
    return whole({"message": message}, status=status, headers=fields)


def _reply(ask: Ask) -> Reply:
    config = as_json(ask.json.get("inferenceConfig"))
    limit = as_count(config.get("maxTokens")) or ask.words
    seed = ask.text_seed(sampled=is_sampled(config))
    return Reply(words(seed, min(limit, ask.words)), cut=limit < ask.words)


def _stop(said: Reply) -> str:
    return "max_tokens" if said.cut else "end_turn"


def _usage(ask: Ask, said: Reply) -> Json:
    asked = tokens(prompt_text([ask.json.get("system"), ask.json.get("messages")]))
    return {
        "inputTokens": asked,
        "outputTokens": len(said.pieces),
        "totalTokens": asked + len(said.pieces),
        "cacheReadInputTokens": 0,
        "cacheWriteInputTokens": 0,
    }


def _converse(ask: Ask) -> Answer:
    said = _reply(ask)
    message = {"role": "assistant", "content": [{"text": said.text}]}
    body = {
        "output": {"message": message},
        "stopReason": _stop(said),
        "usage": _usage(ask, said),
        "metrics": {"latencyMs": 120},
    }
    return whole(body, headers=[(b"x-amzn-requestid", ask.unique("", 36).encode())])


def _event(kind: str, payload: Json) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encode(headers, orjson.dumps(payload))


def _converse_events(ask: Ask) -> Iterator[bytes]:
    said = _reply(ask)
    yield _event("messageStart", {"role": "assistant"})
    for piece in said.pieces:
        yield _event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}})
    yield _event("contentBlockStop", {"contentBlockIndex": 0})
    yield _event("messageStop", {"stopReason": _stop(said)})
    yield _event("metadata", {"usage": _usage(ask, said), "metrics": {"latencyMs": 120}})


def _counts(ask: Ask) -> tuple[int, int]:
    message = anthropic_wire.message(ask, anthropic_wire.reply(ask))
    used = as_json(message["usage"])
    return as_count(used["input_tokens"]) or 0, as_count(used["output_tokens"]) or 0


def _metrics(ask: Ask) -> list[tuple[bytes, bytes]]:
    asked, said = _counts(ask)
    return [
        (b"x-amzn-requestid", ask.unique("", 36).encode()),
        (b"x-amzn-bedrock-input-token-count", b"%d" % asked),
        (b"x-amzn-bedrock-output-token-count", b"%d" % said),
        (b"x-amzn-bedrock-invocation-latency", b"120"),
    ]


def _invoke_events(ask: Ask, model: str) -> Iterator[bytes]:
    asked, output = _counts(ask)
    metrics = {
        "inputTokenCount": asked,
        "outputTokenCount": output,
        "invocationLatency": 120,
        "firstByteLatency": 40,
    }
    for event in anthropic_wire.message_events(ask, anthropic_wire.reply(ask), model):
        if as_text(event["type"]) == "ping":
            continue
        last = {"amazon-bedrock-invocationMetrics": metrics} if event["type"] == "message_stop" else {}
        yield _event("chunk", {"bytes": b64encode(orjson.dumps({**event, **last})).decode()})


def _models(ask: Ask) -> Answer:
    if ask.call.method == "GET" and ask.path == "/foundation-models":
        names = ["anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-lite-v1:0"]
        return whole({"modelSummaries": [{"modelId": name, "responseStreamingSupported": True} for name in names]})
    return error(ask, 404, "Unknown operation")
