"""Ollama's own API, and the OpenAI- and Anthropic-compatible paths that it serves besides.

Rules: a stream is the default, as lines of JSON; counts come on the line that says `done`. Which models there are is
local state that changes at any time, so lists of them are not answered again. A call without a prompt loads or unloads
a model. https://docs.ollama.com/api
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import orjson

from proxy.exchange.headers import HeaderList
from proxy.exchange.provider import UNKNOWN, CallFacts, ErrorShape, Json, Operation, UsageReader
from proxy.exchange.usage import Usage
from proxy.providers.anthropic import Anthropic
from proxy.providers.blend import Blend, Guest
from proxy.providers.entry import ProviderEntry
from proxy.providers.fields import child, header_credential, is_number, items, number, text
from proxy.providers.lines import LinesUsageReader
from proxy.providers.openai import OpenAI
from proxy.providers.readers import JsonUsageReader, StreamShape
from proxy.providers.sampling import is_deterministic

EMBEDDINGS: Final = Operation("embeddings", answers=True, repeatable=True)

POSTS: Final = {
    "/api/chat": Operation("chat", answers=True, sampled=True, repeatable=True),
    "/api/generate": Operation("completions", answers=True, sampled=True, repeatable=True),
    "/api/embed": EMBEDDINGS,
    "/api/embeddings": EMBEDDINGS,
}
LISTS: Final = frozenset({"/api/tags", "/api/show", "/api/ps", "/api/version"})
CHANGES: Final = frozenset({"/api/pull", "/api/push", "/api/create", "/api/delete", "/api/copy"})

MODELS: Final = Operation("models", repeatable=True, json_request=False)
MODEL_CHANGES: Final = Operation("model_management", json_request=False)

# Which member holds what is asked.
PROMPTS: Final = {"chat": "messages", "completions": "prompt", "embeddings": "input"}


class Ollama(Blend):
    """The dialect of an Ollama server, or of its cloud."""

    def __init__(self, entry: ProviderEntry) -> None:
        super().__init__(
            entry,
            Guest("/v1/messages", Anthropic(replace(entry, base_path=""))),
            Guest("/v1/", OpenAI(replace(entry, base_path="/v1"))),
        )

    def own_operation(self, method: str, path: str) -> Operation:
        """By path."""
        if method == "POST" and (found := POSTS.get(path)):
            return found
        if path in LISTS:
            return MODELS
        return MODEL_CHANGES if path in CHANGES or path.startswith("/api/blobs/") else UNKNOWN

    def own_facts(self, operation: Operation, path: str, body: Json | None) -> CallFacts:
        """What the body asks for."""
        if body is None or not operation.json_request:
            return CallFacts()
        options = child(body, "options")
        asked = body.get(PROMPTS.get(operation.name, "")) or body.get("prompt")
        return CallFacts(
            model=text(body, "model"),
            stream=operation is not EMBEDDINGS and body.get("stream") is not False,
            deterministic=is_deterministic(options) or is_number(options, "top_k", 1),
            has_tools=bool(items(body, "tools")),
            messages=len(items(body, "messages")),
            stateful=not asked,
        )

    def own_reader(self, operation: Operation, facts: CallFacts, media_type: str) -> UsageReader | None:
        """Lines of a stream, or one document; both close with the same members."""
        if facts.stream and media_type != "application/json":
            return LinesUsageReader(STREAM)
        return JsonUsageReader(read_counts, _is_error, key=b"prompt_eval_count")

    def credential(self, headers: HeaderList, query: Mapping[str, str]) -> bytes:
        """The bearer token; a local server needs none."""
        return header_credential(headers)

    def error(self, status: int, code: str, message: str) -> ErrorShape:
        """`{"error": ...}`."""
        return ErrorShape(b"application/json; charset=utf-8", orjson.dumps({"error": message}))


def read_counts(document: Json) -> Usage | None:
    """The usage of a finished answer; None when it counts nothing, as when a model was only loaded."""
    if "prompt_eval_count" not in document and "eval_count" not in document:
        return None
    return Usage(
        input_tokens=number(document, "prompt_eval_count"),
        output_tokens=number(document, "eval_count"),
        model=text(document, "model"),
    )


def _is_of_interest(line: bytes) -> bool:
    return b'"done":false' not in line


def _is_done(document: Json) -> bool:
    return document.get("done") is True


def _is_error(document: Json) -> bool:
    return "error" in document


STREAM: Final = StreamShape(is_of_interest=_is_of_interest, read=read_counts, ends=_is_done, fails=_is_error)
