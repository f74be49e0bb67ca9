"""Cohere's version 2 API: chat whole and streamed, embed, rerank, models, errors.

Rules: usage stands under `usage` (chat) or `meta` (embed, rerank), each with what is billed apart from what was read;
a stream's usage comes in `message-end`.
"""

from base64 import b64encode
from collections.abc import Iterator

from proxy.demo.asks import Answer, Ask, as_count, as_list, as_text, is_sampled, sse, stream, whole
from proxy.demo.content import packed, prompt_text, tokens, vector, words
from proxy.demo.openai_chat import Reply
from proxy.exchange.provider import Json


def answer(ask: Ask) -> Answer:
    """Any call to the API."""
    if not ask.header(b"authorization"):
        return error(ask, 401, "no api key supplied")
    if ask.json.get("model") == "no-such-model" or "/no-such-model" in ask.path:
        return error(ask, 404, "model 'no-such-model' not found, make sure the correct model ID was used")
    match ask.path.rpartition("/")[2]:
        case "chat" if ask.call.method == "POST":
            return _chat(ask)
        case "embed":
            return _embed(ask)
        case "rerank":
            return _rerank(ask)
        case "models":
            return whole({"models": [{"name": "command-a-03-2025", "endpoints": ["chat"], "finetuned": False}]})
    return error(ask, 404, "not found")


def error(ask: Ask, status: int, message: str) -> Answer:
    """Cohere's error shape."""
    return whole({"id": ask.unique("", 36), "message": message}, status=status)


def _usage(ask: Ask, said: Reply) -> Json:
    asked, output = tokens(prompt_text(ask.json.get("messages"))), len(said.pieces)
    return {
        "billed_units": {"input_tokens": asked, "output_tokens": output},
        "tokens": {"input_tokens": asked + 70, "output_tokens": output},  # with the template, which is not billed
    }


def _chat(ask: Ask) -> Answer:
    limit = as_count(ask.json.get("max_tokens")) or ask.words
    said = Reply(words(ask.text_seed(sampled=is_sampled(ask.json)), min(limit, ask.words)), cut=limit < ask.words)
    if ask.json.get("stream") is True:
        return stream([sse(event, as_text(event["type"])) for event in _events(ask, said)])
    message = {"role": "assistant", "content": [{"type": "text", "text": said.text}]}
    body = {
        "id": ask.unique("", 36),
        "finish_reason": _finish(said),
        "message": message,
        "usage": _usage(ask, said),
    }
    return whole(body)


def _finish(said: Reply) -> str:
    return "MAX_TOKENS" if said.cut else "COMPLETE"


def _events(ask: Ask, said: Reply) -> Iterator[Json]:
    opening = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield {"id": ask.unique("", 36), "type": "message-start", "delta": {"message": opening}}
    yield {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}
    for piece in said.pieces:
        yield {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": piece}}}}
    yield {"type": "content-end", "index": 0}
    yield {"type": "message-end", "delta": {"finish_reason": _finish(said), "usage": _usage(ask, said)}}


def _embed(ask: Ask) -> Answer:
    texts = [as_text(item) for item in as_list(ask.json.get("texts"))]
    size = min(as_count(ask.json.get("output_dimension")) or 1536, 4096)
    model = as_text(ask.json.get("model"))
    rows = [vector(f"{model}/{item}".encode(), size) for item in texts]
    kinds = as_list(ask.json.get("embedding_types")) or ["float"]
    embeddings: Json = {"float": rows} if "float" in kinds else {}
    if "base64" in kinds:
        embeddings["base64"] = [b64encode(packed(row)).decode() for row in rows]
    body = {
        "id": ask.unique("", 36),
        "embeddings": embeddings,
        "texts": texts,
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": sum(map(tokens, texts))}},
        "response_type": "embeddings_by_type",
    }
    return whole(body)


def _rerank(ask: Ask) -> Answer:
    documents = as_list(ask.json.get("documents"))
    scored = [{"index": index, "relevance_score": round(0.95 / (index + 1), 6)} for index in range(len(documents))]
    body = {
        "id": ask.unique("", 36),
        "results": scored[: as_count(ask.json.get("top_n")) or len(scored)],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }
    return whole(body)
