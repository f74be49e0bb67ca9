"""Gemini's API and the same models on Vertex: content whole and streamed, embeddings, token counts, models, errors.

Rules: a stream is server-sent events with `alt=sse` and one JSON array without; every chunk carries the usage so far,
cumulative; the last one carries the finish reason; there is no end marker. Vertex differs in its paths, in `:predict`
and in hosting other makers' models (`rawPredict`).
"""

import re
from typing import Final
from urllib.parse import parse_qsl

import orjson

from proxy.demo import anthropic_wire
from proxy.demo.asks import Answer, Ask, as_count, as_json, as_list, as_text, is_sampled, sse, stream, whole
from proxy.demo.content import fill, prompt_text, tokens, vector, words
from proxy.demo.openai_chat import Reply
from proxy.demo.openai_wire import compatible
from proxy.exchange.provider import Json

_METHOD: Final = re.compile(r"/models/(?P<model>[^/:]+)(?::(?P<method>\w+))?$")
_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
_MODELS: Final = ("gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.0-flash", "gemini-embedding-001")


def answer(ask: Ask) -> Answer:
    """Any call to the API."""
    if "/openai/" in ask.path:
        return compatible("gemini")(ask)
    if not (ask.header(b"x-goog-api-key") or ask.header(b"authorization") or "key=" in ask.call.query):
        return error(ask, 401, "Request is missing required authentication credential.")
    found = _METHOD.search(ask.path)
    if found is None:
        return _listing(ask)
    model, method = found["model"], found["method"] or "get"
    if model == "no-such-model":
        return error(ask, 404, "models/no-such-model is not found for API version v1beta.")
    match method:
        case "generateContent":
            return _generate(ask, model)
        case "streamGenerateContent":
            return _stream(ask, model)
        case "countTokens":
            return whole(_counted(tokens(prompt_text(ask.json))))
        case "embedContent" | "batchEmbedContents":
            return _embed(ask, model, method)
        case "predict":
            return _predict(ask, model)
        case "rawPredict" | "streamRawPredict":
            return anthropic_wire.messages(ask, model.partition("@")[0])
        case "get":
            return whole(_model(model))
    return error(ask, 404, "Not found.")


def error(_ask: Ask, status: int, message: str) -> Answer:
    """Google's error shape."""
    default = "INTERNAL" if status >= 500 else "FAILED_PRECONDITION"
    body = {"error": {"code": status, "message": message, "status": _STATUS.get(status, default)}}
    return whole(body, status=status)


def _reply(ask: Ask) -> Reply:
    config = as_json(ask.json.get("generationConfig"))
    seed = ask.text_seed(sampled=is_sampled(config))
    choice = as_json(as_json(ask.json.get("toolConfig")).get("functionCallingConfig"))
    declared = [
        as_json(function)
        for tool in as_list(ask.json.get("tools"))
        for spelling in ("functionDeclarations", "function_declarations")
        for function in as_list(as_json(tool).get(spelling))
    ]
    if declared and (choice.get("mode") == "ANY" or "tool" in prompt_text(ask.json.get("contents")).lower()):
        schema = _schema(declared[0])
        return Reply([orjson.dumps(fill(schema, seed)).decode()], tool=as_text(declared[0].get("name")))
    if config.get("responseMimeType") == "application/json":
        schema = as_json(config.get("responseSchema") or config.get("responseJsonSchema"))
        text = orjson.dumps(fill(schema, seed)).decode()
        return Reply([text[at : at + 8] for at in range(0, len(text), 8)])
    limit = as_count(config.get("maxOutputTokens")) or ask.words
    return Reply(words(seed, min(limit, ask.words)), cut=limit < ask.words)


def _schema(function: Json) -> Json:
    """A declared function's arguments. Google accepts names in both styles, and its own SDK mixes them."""
    names = ("parameters", "parametersJsonSchema", "parameters_json_schema")
    return next((as_json(function[name]) for name in names if name in function), {})


def _counted(count: int) -> Json:
    return {"totalTokens": count, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": count}]}


def _chunk(ask: Ask, model: str, part: Json, output: int, finish: str) -> Json:
    asked = tokens(prompt_text([ask.json.get("systemInstruction"), ask.json.get("contents")]))
    candidate: Json = {"content": {"parts": [part], "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    used = {
        "promptTokenCount": asked,
        "candidatesTokenCount": output,
        "totalTokenCount": asked + output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": asked}],
    }
    return {
        "candidates": [candidate],
        "usageMetadata": used,
        "modelVersion": model,
        "responseId": ask.unique("", 22),
    }


def _parts(said: Reply) -> list[Json]:
    if said.tool:
        return [{"functionCall": {"name": said.tool, "args": orjson.loads(said.text)}}]
    return [{"text": piece} for piece in said.pieces]


def _generate(ask: Ask, model: str) -> Answer:
    said = _reply(ask)
    part: Json = _parts(said)[0] if said.tool else {"text": said.text}
    return whole(_chunk(ask, model, part, len(said.pieces), _finish(said)))


def _finish(said: Reply) -> str:
    return "MAX_TOKENS" if said.cut else "STOP"


def _stream(ask: Ask, model: str) -> Answer:
    said = _reply(ask)
    parts = _parts(said)
    chunks = [
        _chunk(ask, model, part, index + 1, _finish(said) if index == len(parts) - 1 else "")
        for index, part in enumerate(parts)
    ]
    if "alt=sse" in ask.call.query:
        return stream([sse(chunk).replace(b"\n", b"\r\n") for chunk in chunks], content_type=b"text/event-stream")
    pieces = [(b"[" if index == 0 else b",\r\n") + orjson.dumps(chunk) for index, chunk in enumerate(chunks)]
    return stream([*pieces, b"]"], content_type=b"application/json; charset=UTF-8")


def _dimensions(settings: Json) -> int:
    return min(as_count(settings.get("outputDimensionality")) or 768, 4096)


def _embed(ask: Ask, model: str, method: str) -> Answer:
    requests = as_list(ask.json.get("requests")) if method == "batchEmbedContents" else [ask.json]
    rows: list[Json] = []
    for item in map(as_json, requests):
        text = prompt_text(item.get("content"))
        settings = as_json(item.get("embedContentConfig")) or item
        rows.append({"values": vector(f"{model}/{text}".encode(), _dimensions(settings))})
    if method == "embedContent":
        return whole({"embedding": rows[0]})
    return whole({"embeddings": rows})


def _predict(ask: Ask, model: str) -> Answer:
    size = _dimensions(as_json(ask.json.get("parameters")))
    rows: list[Json] = []
    for item in map(as_json, as_list(ask.json.get("instances"))):
        text = prompt_text(item.get("content"))
        statistics = {"token_count": tokens(text), "truncated": False}
        rows.append({"embeddings": {"values": vector(f"{model}/{text}".encode(), size), "statistics": statistics}})
    return whole({"predictions": rows, "metadata": {"billableCharacterCount": len(ask.body)}})


def _listing(ask: Ask) -> Answer:
    if ask.call.method == "GET" and ask.path.endswith("/models"):
        asked = dict(parse_qsl(ask.call.query))
        begin = int(asked.get("pageToken") or 0)
        end = begin + int(asked.get("pageSize") or len(_MODELS))
        more = {"nextPageToken": str(end)} if end < len(_MODELS) else {}
        return whole({"models": [_model(name) for name in _MODELS[begin:end]], **more})
    return error(ask, 404, "Not found.")


def _model(name: str) -> Json:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
    }
