"""OpenAI's Responses API, whole and streamed.

Rules: events are named and numbered as the real ones are; the terminal `response.completed` carries the whole response
with its usage; there is no `[DONE]`.
"""

from collections.abc import Iterator

import orjson

from proxy.demo.asks import Answer, Ask, as_count, as_json, as_list, as_text, is_sampled, sse, stream, whole
from proxy.demo.content import fill, prompt_text, tokens, words
from proxy.demo.openai_chat import Reply, asked_tool, model_name
from proxy.exchange.headers import HeaderList
from proxy.exchange.provider import Json


def responses(ask: Ask, headers: HeaderList) -> Answer:
    """POST /responses."""
    said = _reply(ask)
    if ask.json.get("stream") is True:
        return stream(list(_events(ask, said)), headers=headers)
    return whole(_response(ask, said, "completed"), headers=headers)


def stored_response(ask: Ask, headers: HeaderList) -> Answer:
    """GET and DELETE /responses/{id}: nothing is kept, so any identifier is known and empty."""
    identifier = ask.path.rpartition("/")[2]
    if ask.call.method == "DELETE":
        return whole({"id": identifier, "object": "response", "deleted": True}, headers=headers)
    return whole({**_response(ask, Reply([]), "completed"), "id": identifier}, headers=headers)


def _reply(ask: Ask) -> Reply:
    seed = ask.text_seed(sampled=is_sampled(ask.json))
    given = ask.json.get("input")
    turns: list[object] = as_list(given) or [{"role": "user", "content": given}]
    tool = asked_tool(as_list(ask.json.get("tools")), ask.json.get("tool_choice"), turns)
    if tool:
        arguments = orjson.dumps(fill(as_json(tool.get("parameters")), seed)).decode()
        return Reply([arguments[at : at + 6] for at in range(0, len(arguments), 6)], tool=as_text(tool.get("name")))
    shape = as_json(as_json(ask.json.get("text")).get("format"))
    if as_text(shape.get("type")).startswith("json"):
        document = fill(as_json(shape.get("schema")), seed) or {"answer": "".join(words(seed, 6))}
        text = orjson.dumps(document).decode()
        return Reply([text[at : at + 8] for at in range(0, len(text), 8)])
    limit = as_count(ask.json.get("max_output_tokens")) or ask.words
    return Reply(words(seed, min(limit, ask.words)), cut=limit < ask.words)


def _part(said: Reply) -> Json:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": said.text}


def _item(ask: Ask, said: Reply, status: str) -> Json:
    if said.tool:
        return {
            "id": ask.unique("fc_", 40),
            "type": "function_call",
            "status": status,
            "arguments": said.text,
            "call_id": ask.unique("call_"),
            "name": said.tool,
        }
    content = [_part(said)] if said.pieces else []
    return {
        "id": ask.unique("msg_", 40),
        "type": "message",
        "status": status,
        "content": content,
        "role": "assistant",
    }


def _usage(ask: Ask, said: Reply) -> Json:
    asked = tokens(prompt_text([ask.json.get("instructions"), ask.json.get("input")]))
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
        "output_tokens": len(said.pieces),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": asked + len(said.pieces),
    }


def _response(ask: Ask, said: Reply, status: str) -> Json:
    done = status != "in_progress"
    return {
        "id": ask.unique("resp_", 40),
        "object": "response",
        "created_at": ask.created,
        "status": ("incomplete" if said.cut else status) if done else status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if done and said.cut else None,
        "instructions": ask.json.get("instructions"),
        "max_output_tokens": ask.json.get("max_output_tokens"),
        "model": model_name(ask),
        "output": [_item(ask, said, "completed")] if done and said.pieces else [],
        "parallel_tool_calls": True,
        "previous_response_id": ask.json.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": ask.json.get("store", True),
        "temperature": ask.json.get("temperature", 1.0),
        "text": ask.json.get("text") or {"format": {"type": "text"}},
        "tool_choice": ask.json.get("tool_choice") or "auto",
        "tools": as_list(ask.json.get("tools")),
        "top_p": ask.json.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": _usage(ask, said) if done else None,
        "user": None,
        "metadata": ask.json.get("metadata") or {},
    }


def _content(ask: Ask, said: Reply) -> Iterator[Json]:
    """The events between an item's opening and its end."""
    item = as_text(_item(ask, said, "completed")["id"])
    if said.tool:
        place: Json = {"item_id": item, "output_index": 0}
        for piece in said.pieces:
            yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
        yield {"type": "response.function_call_arguments.done", **place, "name": said.tool, "arguments": said.text}
        return
    place = {"item_id": item, "output_index": 0, "content_index": 0}
    yield {"type": "response.content_part.added", **place, "part": _part(Reply([]))}
    for piece in said.pieces:
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": said.text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": _part(said)}


def _events(ask: Ask, said: Reply) -> Iterator[bytes]:
    opening = _item(ask, Reply([], tool=said.tool), "in_progress")
    end = "response.incomplete" if said.cut else "response.completed"
    events: list[Json] = [
        {"type": "response.created", "response": _response(ask, said, "in_progress")},
        {"type": "response.in_progress", "response": _response(ask, said, "in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": opening},
        *_content(ask, said),
        {"type": "response.output_item.done", "output_index": 0, "item": _item(ask, said, "completed")},
        {"type": end, "response": _response(ask, said, "completed")},
    ]
    for number, event in enumerate(events):
        yield sse({**event, "sequence_number": number}, as_text(event["type"]))
