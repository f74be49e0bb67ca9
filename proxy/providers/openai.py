"""OpenAI's API, and what every OpenAI-shaped dialect builds on.

Rules: a call is known by its method and its path below the base path. The Responses API stores what it answers, unless
told not to; an answer that is given again names the same stored response, so nothing is lost by it. Calls that go on
from stored state, or run in the background, are stateful and are left alone, like chats with `store: true`.
https://platform.openai.com/docs/api-reference
"""

import re
from collections.abc import Mapping
from typing import ClassVar, Final

import orjson

from proxy.exchange.elements import ElementDialect
from proxy.exchange.headers import HeaderList, first
from proxy.exchange.provider import UNKNOWN, CallFacts, ErrorShape, Json, Operation, UsageReader
from proxy.providers import stream_options
from proxy.providers.elements.openai import OpenAIElements
from proxy.providers.entry import ProviderEntry
from proxy.providers.fields import child, items, text
from proxy.providers.named import Named
from proxy.providers.openai_paths import EMBEDDINGS, OPENAI_POSTS, OPENAI_STATE, PathTable
from proxy.providers.openai_usage import CHAT_STREAM, TYPED_STREAM, is_failure, read_document
from proxy.providers.readers import JsonUsageReader, OpaqueReader, SseUsageReader
from proxy.providers.sampling import has_seed, is_deterministic

_VERSIONED: Final = re.compile(r"/(v\d+\w*|beta)$")
_VERSIONS: Final = ("/v1/", "/v2/", "/beta/", "/")

# Streams of these end with a typed event; all others end with `[DONE]`.
_TYPED: Final = frozenset({"responses", "images", "audio", "speech"})
# Temperature means nothing here, or pins nothing: only a seed does.
_SEED_ONLY: Final = frozenset({"images", "speech", "audio"})
# What `stream_options.include_usage` is defined for.
_CHAT_STREAMS: Final = frozenset({"chat", "completions"})

_ERROR_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


class OpenAI(Named):
    """The dialect; see proxy.exchange.provider.Provider for what each method promises."""

    posts: ClassVar[Mapping[str, Operation]] = OPENAI_POSTS
    state: ClassVar[Mapping[str, str]] = OPENAI_STATE
    seed_key: ClassVar[str] = "seed"
    elements: ClassVar[ElementDialect] = OpenAIElements(is_known=True)

    def __init__(self, entry: ProviderEntry) -> None:
        super().__init__(entry)
        self._paths = PathTable(self.posts, self.state)
        endings = ("/",) if _VERSIONED.search(entry.base_path) else _VERSIONS
        self._prefixes = tuple(entry.base_path + ending for ending in endings)

    def operation(self, method: str, path: str) -> Operation:
        """By method and path below the base path."""
        inner = self.inner_path(path)
        return self._paths.look_up(method, inner) if inner else UNKNOWN

    def inner_path(self, path: str) -> str:
        """The path below the base path and its version, without slashes at its ends; empty when it is elsewhere."""
        for prefix in self._prefixes:
            if path.startswith(prefix):
                return path[len(prefix) :].rstrip("/")
        return ""

    def describe(self, operation: Operation, path: str, query: str, body: Json | None) -> CallFacts:
        """What the JSON body asks for; nothing is known of a call without one."""
        if body is None:
            return CallFacts()
        streams = body.get("stream") is True or body.get("stream_format") == "sse"
        seed_only = operation.name in _SEED_ONLY
        return CallFacts(
            model=text(body, "model"),
            stream=streams,
            deterministic=has_seed(body) if seed_only else is_deterministic(body, seed_key=self.seed_key),
            asks_usage=not streams or not self._must_ask(operation) or stream_options.asks(body),
            has_tools=_offers_tools(body),
            messages=_turns(body),
            stateful=_is_stateful(operation, body),
        )

    def ask_usage(self, operation: Operation, raw: bytes, body: Json) -> bytes | None:
        """Adds `stream_options.include_usage` to a chat stream that would not report."""
        if body.get("stream") is not True or not self._must_ask(operation):
            return None
        return stream_options.ask(raw, body)

    def is_added_usage(self, event: bytes) -> bool:
        """The last chunk, which has no choices."""
        return stream_options.is_added_usage(event)

    def usage_reader(self, operation: Operation, facts: CallFacts, content_type: str) -> UsageReader | None:
        """By the answer's media type. None for stored state: it was counted when it was made."""
        if not operation.answers:
            return None
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type.endswith("json"):
            return JsonUsageReader(read_document, is_failure)
        if media_type == "text/event-stream":
            return SseUsageReader(TYPED_STREAM if operation.name in _TYPED else CHAT_STREAM)
        if operation.name in _SEED_ONLY:
            return OpaqueReader()
        return SseUsageReader(CHAT_STREAM) if facts.stream else JsonUsageReader(read_document, is_failure)

    def element_dialect(self, operation: Operation, path: str) -> ElementDialect | None:
        """For embeddings."""
        return self.elements if operation.name == EMBEDDINGS.name else None

    def credential(self, headers: HeaderList, query: Mapping[str, str]) -> bytes:
        """The bearer token, or whatever else `Authorization` holds, else the `api-key` field."""
        value = (first(headers, b"authorization") or b"").strip()
        if value:
            return value[7:].strip() if value[:7].lower() == b"bearer " else value
        return (first(headers, b"api-key") or b"").strip()

    def error(self, status: int, code: str, message: str) -> ErrorShape:
        """OpenAI's error object, which its SDKs unwrap."""
        kind = _ERROR_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
        return ErrorShape(b"application/json", orjson.dumps(body))

    def _must_ask(self, operation: Operation) -> bool:
        return self._entry.stream_usage == "ask" and operation.name in _CHAT_STREAMS


def _offers_tools(body: Json) -> bool:
    """Tools, the older functions, or a search that is built in."""
    return bool(items(body, "tools") or items(body, "functions")) or body.get("web_search_options") is not None


def _turns(body: Json) -> int:
    """Messages of a chat, items of a Responses input; a plain text is one."""
    for key in ("messages", "input"):
        match body.get(key):
            case list(turns):
                return len(turns)
            case str():
                return 1
            case _:
                pass
    return 0


def _is_stateful(operation: Operation, body: Json) -> bool:
    if operation.name == "chat":
        return body.get("store") is True
    if operation.name != "responses":
        return False
    if body.get("background") is True:
        return True
    if body.get("previous_response_id") is not None or body.get("conversation") is not None:
        return True
    prompt = child(body, "prompt")  # a stored prompt without a version is whatever it was last changed to
    return bool(prompt) and not text(prompt, "version")
