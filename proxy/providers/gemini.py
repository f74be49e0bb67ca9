"""Google's Gemini API, and its OpenAI-compatible paths.

Rules: the model and the method stand in the path (`/v1beta/models/NAME:METHOD`), in any version. Proto JSON takes
members in camel case and in snake case alike. What makes a file, a cache, a tuned model or a batch is state.
https://ai.google.dev/api
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import unquote

import orjson

from proxy.exchange.elements import ElementDialect
from proxy.exchange.headers import HeaderList
from proxy.exchange.provider import UNKNOWN, CallFacts, ErrorShape, Json, Operation, UsageReader
from proxy.providers.blend import Blend, Guest
from proxy.providers.elements.gemini import GeminiElements
from proxy.providers.entry import ProviderEntry
from proxy.providers.fields import child, header_credential, is_number, items
from proxy.providers.gemini_usage import generation_reader, is_error, read_prediction
from proxy.providers.openai import OpenAI
from proxy.providers.readers import JsonUsageReader
from proxy.providers.sampling import has_seed, is_zero

GENERATE: Final = Operation("generate_content", answers=True, sampled=True, repeatable=True)
COUNT_TOKENS: Final = Operation("count_tokens", answers=True, repeatable=True)
EMBEDDINGS: Final = Operation("embeddings", answers=True, repeatable=True)
IMAGES: Final = Operation("images", answers=True, sampled=True, repeatable=True)
MODELS: Final = Operation("models", answers=True, repeatable=True, json_request=False)

METHODS: Final = {
    "generateContent": GENERATE,
    "streamGenerateContent": GENERATE,
    "generateAnswer": GENERATE,
    "countTokens": COUNT_TOKENS,
    "computeTokens": COUNT_TOKENS,
    "embedContent": EMBEDDINGS,
    "batchEmbedContents": EMBEDDINGS,
    "batchGenerateContent": Operation("batches"),
    "asyncBatchEmbedContent": Operation("batches"),
    "predictLongRunning": Operation("operations"),
    "fetchPredictOperation": Operation("operations", repeatable=True, json_request=False),
    "bidiGenerateContent": Operation("realtime", json_request=False),
}

# Collections that are state, below the version or below /upload. Reading them may be repeated.
STATE: Final = {
    "files": "files",
    "cachedContents": "cached_contents",
    "tunedModels": "fine_tuning",
    "operations": "operations",
    "batches": "batches",
    "corpora": "corpora",
    "fileSearchStores": "file_search_stores",
    "interactions": "interactions",
    "auth_tokens": "auth_tokens",
}

STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    504: "DEADLINE_EXCEEDED",
}

VERSION: Final = re.compile(r"(?:/upload|/download)?/v\d+(?:(?:alpha|beta)\d*)?/")
_ELEMENTS: Final = GeminiElements()
_MODEL: Final = re.compile(r"(?:^|/)(?:models|tunedModels|endpoints)/([^/:]+)")


class Gemini(Blend):
    """The dialect of generativelanguage.googleapis.com."""

    def __init__(self, entry: ProviderEntry) -> None:
        prefixes = ("/v1beta/openai", "/v1/openai", "/v1alpha/openai")
        super().__init__(
            entry, *(Guest(at + "/", OpenAI(replace(entry, base_path=at, stream_usage="ask"))) for at in prefixes)
        )

    def own_operation(self, method: str, path: str) -> Operation:
        """By the method after the colon, else by the collection."""
        version = VERSION.match(path)
        if version is None:
            return UNKNOWN
        resource, _, action = path[version.end() :].rpartition(":")
        if resource and "/" not in action:
            return google_method(method, resource, action)
        family = path[version.end() :].partition("/")[0]
        if family == "models":
            return MODELS if method == "GET" else UNKNOWN
        if family in STATE:
            return Operation(STATE[family], repeatable=method == "GET", json_request=False)
        return UNKNOWN

    def own_facts(self, operation: Operation, path: str, body: Json | None) -> CallFacts:
        """The model and streaming from the path, the rest from the body."""
        return generation_facts(path, body or {}) if operation.json_request else CallFacts()

    def own_reader(self, operation: Operation, facts: CallFacts, media_type: str) -> UsageReader | None:
        """By operation."""
        return google_reader(operation, facts, media_type)

    def own_elements(self, operation: Operation, path: str) -> ElementDialect | None:
        """Of arrays of requests."""
        return _ELEMENTS if path.endswith(":batchEmbedContents") else None

    def credential(self, headers: HeaderList, query: Mapping[str, str]) -> bytes:
        """`x-goog-api-key`, else the `key` of the query, else the bearer token."""
        return google_credential(headers, query)

    def error(self, status: int, code: str, message: str) -> ErrorShape:
        """Google's error object."""
        return google_error(status, message)


def google_method(method: str, resource: str, action: str) -> Operation:
    """The operation of `RESOURCE:ACTION`; UNKNOWN when it is not known, or not a POST."""
    if method != "POST":
        return UNKNOWN
    if action == "predict":
        # One method for every older model: those that embed give the same answer again, those that paint do not.
        return EMBEDDINGS if "embed" in resource else IMAGES
    return METHODS.get(action, UNKNOWN)


def google_reader(operation: Operation, facts: CallFacts, media_type: str) -> UsageReader:
    """A reader for one answer of Google's own shape."""
    if operation.name == GENERATE.name:
        return generation_reader(media_type, streams=facts.stream)
    return JsonUsageReader(read_prediction, is_error, key=b"usageMetadata")


def model_in(path: str) -> str:
    """The model that a path names, or an empty string."""
    match = _MODEL.search(path)
    return unquote(match[1]) if match else ""


def generation_facts(path: str, body: Json) -> CallFacts:
    """What a request of the generateContent family asks for."""
    config = child(body, "generationConfig") or child(body, "generation_config")
    return CallFacts(
        model=model_in(path),
        stream=path.endswith(":streamGenerateContent"),
        deterministic=(
            is_zero(config.get("temperature"))
            or is_zero(config.get("topP", config.get("top_p")))
            or is_number(config, "topK", 1)
            or is_number(config, "top_k", 1)
            or has_seed(config)
        ),
        has_tools=bool(items(body, "tools")),
        messages=len(items(body, "contents")),
    )


def google_credential(headers: HeaderList, query: Mapping[str, str]) -> bytes:
    """The API key or token of a Google API."""
    in_field = header_credential(headers, b"x-goog-api-key")
    return in_field or query.get("key", "").encode() or query.get("access_token", "").encode()


def google_error(status: int, message: str) -> ErrorShape:
    """A local error in Google's words."""
    word = STATUS.get(status) or ("INVALID_ARGUMENT" if status < 500 else "UNAVAILABLE")
    return ErrorShape(
        b"application/json; charset=UTF-8",
        orjson.dumps({"error": {"code": status, "message": message, "status": word}}),
    )
