"""Cohere's API, versions 1 and 2, and its OpenAI-compatible paths.

Rules: what is charged stands in `billed_units`; the `tokens` beside it count what the models saw. A rerank is charged
by search units, which are counted as searches. Version 2 streams server-sent events up to `message-end`, version 1
lines of JSON (or events that hold them) up to the one that says `is_finished`.
https://docs.cohere.com/reference/chat
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import orjson

from proxy.exchange.elements import ElementDialect
from proxy.exchange.headers import HeaderList
from proxy.exchange.provider import UNKNOWN, CallFacts, ErrorShape, Json, Operation, UsageReader
from proxy.exchange.usage import Usage
from proxy.providers.blend import Blend, Guest
from proxy.providers.elements.cohere import CohereElements
from proxy.providers.entry import ProviderEntry
from proxy.providers.fields import child, header_credential, is_number, items, number, text
from proxy.providers.lines import LinesUsageReader
from proxy.providers.openai import OpenAI
from proxy.providers.readers import JsonUsageReader, SseUsageReader, StreamShape
from proxy.providers.sampling import is_deterministic, is_zero

CHAT: Final = Operation("chat", answers=True, sampled=True, repeatable=True)
COMPLETIONS: Final = Operation("completions", answers=True, sampled=True, repeatable=True)

POSTS: Final = {
    "chat": CHAT,
    "generate": COMPLETIONS,
    "summarize": COMPLETIONS,
    "embed": Operation("embeddings", answers=True, repeatable=True),
    "rerank": Operation("rerank", answers=True, repeatable=True),
    "classify": Operation("classify", answers=True, repeatable=True),
    "tokenize": Operation("tokenize", answers=True, repeatable=True),
    "detokenize": Operation("tokenize", answers=True, repeatable=True),
}
MODELS: Final = Operation("models", answers=True, repeatable=True, json_request=False)

STATE: Final = {
    "embed-jobs": "batches",
    "batches": "batches",
    "datasets": "files",
    "connectors": "connectors",
    "finetuning": "fine_tuning",
    "audio": "audio",
}

_ELEMENTS: Final = CohereElements()
_FAILED: Final = frozenset({"ERROR", "ERROR_TOXIC", "TIMEOUT", "USER_CANCEL"})


class Cohere(Blend):
    """The dialect of api.cohere.com."""

    def __init__(self, entry: ProviderEntry) -> None:
        openai = OpenAI(replace(entry, base_path="/compatibility/v1", stream_usage="ask"))
        super().__init__(entry, Guest("/compatibility/", openai))

    def own_operation(self, method: str, path: str) -> Operation:
        """By what follows the version."""
        version, _, rest = path.removeprefix("/").partition("/")
        if version not in ("v1", "v2"):
            return UNKNOWN
        if method == "POST" and (found := POSTS.get(rest)):
            return found
        family = rest.partition("/")[0]
        if method == "GET" and family == "models":
            return MODELS
        if family in STATE:
            return Operation(STATE[family], repeatable=method == "GET", json_request=False)
        return UNKNOWN

    def own_facts(self, operation: Operation, path: str, body: Json | None) -> CallFacts:
        """What the body asks for. Version 1 has the last turn in `message`, the others in `chat_history`."""
        if body is None:
            return CallFacts()
        older = len(items(body, "chat_history")) + 1 if "message" in body else 0
        return CallFacts(
            model=text(body, "model"),
            stream=body.get("stream") is True,
            deterministic=is_deterministic(body) or is_zero(body.get("p")) or is_number(body, "k", 1),
            has_tools=bool(items(body, "tools") or items(body, "connectors")),
            messages=len(items(body, "messages")) or older,
            stateful=bool(text(body, "conversation_id")),
        )

    def own_reader(self, operation: Operation, facts: CallFacts, media_type: str) -> UsageReader | None:
        """By media type. Version 1 names its lines `application/stream+json`."""
        if media_type == "text/event-stream":
            return SseUsageReader(_stream(_is_event_of_interest))
        if facts.stream:
            return LinesUsageReader(_stream(_is_line_of_interest))
        return JsonUsageReader(read_units, _is_error, key=b"billed_units")

    def own_elements(self, operation: Operation, path: str) -> ElementDialect | None:
        """Of embed."""
        return _ELEMENTS if operation.name == POSTS["embed"].name else None

    def credential(self, headers: HeaderList, query: Mapping[str, str]) -> bytes:
        """The bearer token."""
        return header_credential(headers)

    def error(self, status: int, code: str, message: str) -> ErrorShape:
        """`{"message": ...}`."""
        return ErrorShape(b"application/json", orjson.dumps({"message": message}))


class _StreamRead:
    """Follows one stream: its first event has the id, its last the usage."""

    def __init__(self) -> None:
        self._id = ""

    def read(self, event: Json) -> Usage | None:
        """The usage in the closing event."""
        self._id = self._id or text(event, "id") or text(event, "generation_id")
        usage = read_units(child(event, "delta")) or read_units(child(event, "response"))
        return replace(usage, response_id=usage.response_id or self._id) if usage else None


def _stream(is_of_interest: Callable[[bytes], bool]) -> StreamShape:
    return StreamShape(is_of_interest=is_of_interest, read=_StreamRead().read, ends=_is_end, fails=_is_failed_end)


def _is_event_of_interest(event: bytes) -> bool:
    # Content, tool and citation events are named otherwise; version 1 has the flag in each of its events.
    return b"message-" in event[:64] or b'"is_finished":true' in event or b'"stream-start"' in event


def _is_line_of_interest(line: bytes) -> bool:
    return b'"is_finished":false' not in line or b'"stream-start"' in line


def _is_end(event: Json) -> bool:
    return event.get("type") == "message-end" or event.get("is_finished") is True


def _is_failed_end(event: Json) -> bool:
    reason = text(child(event, "delta"), "finish_reason") or text(event, "finish_reason")
    return reason in _FAILED


def read_units(document: Json) -> Usage | None:
    """The usage in an answer; None when it counts neither tokens nor searches."""
    usage = child(document, "usage") or child(document, "meta")
    billed = child(usage, "billed_units") or child(document, "billed_units")
    counted = billed if _has_tokens(billed) else child(usage, "tokens")
    searches = number(billed, "search_units")
    if not searches and not _has_tokens(counted):
        return None
    return Usage(
        input_tokens=number(counted, "input_tokens"),
        output_tokens=number(counted, "output_tokens"),
        web_searches=searches,
        response_id=text(document, "id") or text(document, "response_id"),
    )


def _has_tokens(units: Json) -> bool:
    return "input_tokens" in units or "output_tokens" in units


def _is_error(document: Json) -> bool:
    return set(document) <= {"id", "message"}
