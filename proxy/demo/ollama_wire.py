"""Ollama's native API: chat and generate as NDJSON, embeddings, the list of models, errors.

Rules: streaming is the default; counts stand only on the object with `done: true`; no credential is needed.
"""

from datetime import UTC, datetime

import orjson

from proxy.demo.asks import Answer, Ask, as_count, as_json, as_list, as_text, is_sampled, stream, whole
from proxy.demo.content import prompt_text, tokens, vector, words
from proxy.demo.openai_wire import compatible
from proxy.exchange.provider import Json


def answer(ask: Ask) -> Answer:
    """Any call to the server, its OpenAI-shaped paths included."""
    if ask.path.startswith("/v1/"):
        return compatible("ollama")(ask)
    if ask.json.get("model") == "no-such-model":
        return error(ask, 404, "model 'no-such-model' not found")
    match ask.path:
        case "/api/chat" | "/api/generate":
            return _generate(ask)
        case "/api/embed":
            return _embed(ask)
        case "/api/tags":
            return whole({"models": [{"name": "llama3.2:latest", "model": "llama3.2:latest", "size": 2_019_393_189}]})
        case "/api/version":
            return whole({"version": "0.12.0"})
        case "/":
            return Answer([b"Ollama is running"], 200, [(b"content-type", b"text/plain; charset=utf-8")])
    return error(ask, 404, "not found")


def error(_ask: Ask, status: int, message: str) -> Answer:
    """Ollama's error shape."""
    return whole({"error": message}, status=status)


def _generate(ask: Ask) -> Answer:
    options = as_json(ask.json.get("options"))
    limit = as_count(options.get("num_predict")) or ask.words
    said = words(ask.text_seed(sampled=is_sampled(options)), min(limit, ask.words))
    asked = tokens(prompt_text([ask.json.get("messages"), ask.json.get("prompt"), ask.json.get("system")]))
    end = {
        "done": True,
        "done_reason": "length" if limit < ask.words else "stop",
        "total_duration": 4_883_583_458,
        "load_duration": 1_334_875,
        "prompt_eval_count": asked,
        "prompt_eval_duration": 342_546_000,
        "eval_count": len(said),
        "eval_duration": 4_535_599_000,
    }
    if ask.json.get("stream") is False:
        return whole({**_said(ask, "".join(said)), **end})
    lines = [{**_said(ask, piece), "done": False} for piece in said]
    pieces = [orjson.dumps(line) + b"\n" for line in [*lines, {**_said(ask, ""), **end}]]
    return stream(pieces, content_type=b"application/x-ndjson")


def _said(ask: Ask, piece: str) -> Json:
    at = datetime.fromtimestamp(ask.call.at, UTC).isoformat()
    line: Json = {"model": as_text(ask.json.get("model")), "created_at": at}
    if ask.path == "/api/chat":
        return {**line, "message": {"role": "assistant", "content": piece}}
    return {**line, "response": piece}


def _embed(ask: Ask) -> Answer:
    given = ask.json.get("input")
    texts = as_list(given) or [given]
    model = as_text(ask.json.get("model"))
    rows = [vector(f"{model}/{item}".encode(), 768) for item in texts]
    counted = sum(tokens(prompt_text(item)) for item in texts)
    return whole({"model": model, "embeddings": rows, "total_duration": 14_143_917, "prompt_eval_count": counted})
