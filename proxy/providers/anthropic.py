"""Anthropic's Messages API, as the provider itself, Vertex AI and Bedrock speak it.

Rules: `input_tokens` as reported excludes what was read from or written to the prompt cache, so the three are added up.
In a stream `message_start` opens the count and each `message_delta` brings cumulative values: the last wins, nothing
is summed. A stream is complete at `message_stop`, and never after an `error` event.
https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

from collections.abc import Mapping
from typing import Final

import orjson

from proxy.exchange.headers import HeaderList
from proxy.exchange.provider import UNKNOWN, CallFacts, ErrorShape, Json, Operation, UsageReader
from proxy.exchange.usage import Usage
from proxy.providers.fields import below, child, header_credential, is_number, items, number, objects, text
from proxy.providers.named import Named
from proxy.providers.readers import JsonUsageReader, SseUsageReader, StreamShape
from proxy.providers.sampling import is_zero

MESSAGES: Final = Operation("messages", answers=True, sampled=True, repeatable=True)
COUNT_TOKENS: Final = Operation("count_tokens", answers=True, repeatable=True)
COMPLETE: Final = Operation("completions", answers=True, sampled=True, repeatable=True)
MODELS: Final = Operation("models", answers=True, repeatable=True, json_request=False)

POSTS: Final = {
    "/v1/messages": MESSAGES,
    "/v1/messages/count_tokens": COUNT_TOKENS,
    "/v1/complete": COMPLETE,
}

# State at the provider: path prefix and name. Only reading it may be done twice.
STATE: Final = (
    ("/v1/messages/batches", "batches"),
    ("/v1/files", "files"),
    ("/v1/skills", "skills"),
    ("/v1/organizations", "organizations"),
    ("/v1/agents", "agents"),
    ("/v1/environments", "environments"),
    ("/v1/sessions", "sessions"),
)

ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}

# Server tools that keep files and processes in a container between calls.
CONTAINER_TOOLS: Final = ("code_execution", "bash_code_execution")


class Anthropic(Named):
    """The dialect of api.anthropic.com."""

    def operation(self, method: str, path: str) -> Operation:
        """The operation of a path, or UNKNOWN."""
        path = below(path, self._entry.base_path)
        if method == "POST" and (found := POSTS.get(path)):
            return found
        for prefix, name in STATE:
            if path == prefix or path.startswith(prefix + "/"):
                return Operation(name, repeatable=method == "GET", json_request=False)
        if method == "GET" and (path == "/v1/models" or path.startswith("/v1/models/")):
            return MODELS
        return UNKNOWN

    def describe(self, operation: Operation, path: str, query: str, body: Json | None) -> CallFacts:
        """What the request asks for."""
        if body is None or not operation.json_request:
            return CallFacts()
        return describe_messages(body)

    def ask_usage(self, operation: Operation, raw: bytes, body: Json) -> bytes | None:
        """None: every stream reports its usage."""
        return None

    def is_added_usage(self, event: bytes) -> bool:
        """False: nothing is ever added."""
        return False

    def usage_reader(self, operation: Operation, facts: CallFacts, content_type: str) -> UsageReader | None:
        """By media type; None for stored state."""
        return messages_reader(content_type.partition(";")[0].strip().lower()) if operation.answers else None

    def credential(self, headers: HeaderList, query: Mapping[str, str]) -> bytes:
        """`x-api-key`, else the bearer token."""
        return header_credential(headers, b"x-api-key")

    def error(self, status: int, code: str, message: str) -> ErrorShape:
        """`{"type": "error", "error": {...}}`."""
        return anthropic_error(status, message)


def anthropic_error(status: int, message: str) -> ErrorShape:
    """A local error in Anthropic's words."""
    kind = ERROR_TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    return ErrorShape(b"application/json", orjson.dumps({"type": "error", "error": {"type": kind, "message": message}}))


def describe_messages(body: Json) -> CallFacts:
    """What a Messages request asks for. Vertex AI and Bedrock put the model into the path instead."""
    tools = objects(body, "tools")
    return CallFacts(
        model=text(body, "model"),
        stream=body.get("stream") is True,
        deterministic=(is_zero(body.get("temperature")) or is_zero(body.get("top_p")) or is_number(body, "top_k", 1)),
        has_tools=bool(tools or items(body, "mcp_servers")),
        messages=len(items(body, "messages")),
        stateful=bool(body.get("container"))
        or bool(items(body, "mcp_servers"))
        or any(text(tool, "type").startswith(CONTAINER_TOOLS) for tool in tools),
    )


def messages_reader(media_type: str) -> UsageReader:
    """A reader for one answer of the Messages API."""
    if media_type == "text/event-stream":
        return SseUsageReader(messages_stream())
    return JsonUsageReader(_read_answer, is_error)


def messages_stream() -> StreamShape:
    """What to look for in one stream; it holds that stream's count, so each stream needs its own."""
    return StreamShape(
        is_of_interest=_is_of_interest,
        read=MessageCount().read,
        ends=is_message_stop,
        fails=is_error,
    )


def is_message_stop(event: Json) -> bool:
    """The end of a good answer; older completions end with a stop reason instead."""
    kind = event.get("type")
    return kind == "message_stop" or (kind == "completion" and event.get("stop_reason") is not None)


def is_error(event: Json) -> bool:
    """An error event, or an error document."""
    return event.get("type") == "error"


class MessageCount:
    """Follows the usage of one stream. Values are cumulative; an absent or null one leaves the older one standing."""

    def __init__(self) -> None:
        self._counts: Json = {}
        self._model = ""
        self._id = ""

    def read(self, event: Json) -> Usage | None:
        """The usage after this event; None when the event says nothing about it."""
        if event.get("type") == "message_start":
            message = child(event, "message")
            self._model, self._id = text(message, "model"), text(message, "id")
            reported = child(message, "usage")
        else:
            reported = child(event, "usage")
        if not reported:
            return None
        self._counts |= {key: value for key, value in reported.items() if value is not None}
        return read_usage(self._counts, self._model, self._id)


def read_usage(counts: Json, model: str, response_id: str) -> Usage:
    """Usage from one complete `usage` object."""
    cache_read = number(counts, "cache_read_input_tokens")
    by_age = child(counts, "cache_creation")
    hour = number(by_age, "ephemeral_1h_input_tokens")
    cache_write = max(number(counts, "cache_creation_input_tokens"), hour + number(by_age, "ephemeral_5m_input_tokens"))
    is_fast = counts.get("speed") == "fast"  # fast mode is charged like a tier of its own
    return Usage(
        input_tokens=number(counts, "input_tokens") + cache_read + cache_write,
        output_tokens=number(counts, "output_tokens"),
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        cache_write_1h_tokens=hour,
        web_searches=number(child(counts, "server_tool_use"), "web_search_requests"),
        model=model,
        service_tier="fast" if is_fast else text(counts, "service_tier"),
        response_id=response_id,
    )


def _read_answer(document: Json) -> Usage | None:
    counts = child(document, "usage")
    if document.get("type", "message") != "message" or "output_tokens" not in counts:
        return None
    return read_usage(counts, text(document, "model"), text(document, "id"))


def _is_of_interest(event: bytes) -> bool:
    # The name stands in the first line, or, where a gateway drops that line, at the start of the data.
    head = event[:48]
    return b"content_block" not in head and b"ping" not in head
