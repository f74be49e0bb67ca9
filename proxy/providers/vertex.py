"""Google's Vertex AI: Gemini's methods below projects and publishers, and other makers' models in their own shapes.

Rules: the publisher in the path says whose shape `rawPredict` has: Anthropic's Messages API, else the OpenAI shape that
Mistral and others take. The model stands in the path, also where the body's own dialect would name it.
https://cloud.google.com/vertex-ai/docs/reference/rest
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from proxy.exchange.headers import HeaderList
from proxy.exchange.provider import UNKNOWN, CallFacts, ErrorShape, Json, Operation, UsageReader
from proxy.providers import anthropic
from proxy.providers.blend import Blend, GuestOperation, lend
from proxy.providers.entry import ProviderEntry
from proxy.providers.gemini import (
    MODELS,
    VERSION,
    generation_facts,
    google_credential,
    google_error,
    google_method,
    google_reader,
    model_in,
)
from proxy.providers.openai import OpenAI

_RAW: Final = frozenset({"rawPredict", "streamRawPredict"})
_RAW_ENDINGS: Final = (":rawPredict", ":streamRawPredict")
_PUBLISHER: Final = re.compile(r"(?:^|/)publishers/([^/]+)/models/([^/:]+)$")
_OPENAI: Final = re.compile(r"(?:^|/)endpoints/[^/]+/((?:chat/)?completions|embeddings|responses|models)$")

# Collections below projects/P/locations/L that are state.
_STATE: Final = {
    "cachedContents": "cached_contents",
    "batchPredictionJobs": "batches",
    "tuningJobs": "fine_tuning",
    "operations": "operations",
    "endpoints": "endpoints",
    "models": "endpoints",
    "reasoningEngines": "agents",
    "ragCorpora": "corpora",
    "datasets": "files",
}
_LOCATED: Final = re.compile(r"projects/[^/]+/locations/[^/]+/([A-Za-z]+)")


class Vertex(Blend):
    """The dialect of aiplatform.googleapis.com, in every region."""

    def __init__(self, entry: ProviderEntry) -> None:
        super().__init__(entry)
        self._openai = OpenAI(replace(entry, base_path="", stream_usage="ask"))

    def own_operation(self, method: str, path: str) -> Operation:
        """By publisher and method, by the OpenAI path below an endpoint, else by collection."""
        version = VERSION.match(path)
        if version is None:
            return UNKNOWN
        rest = path[version.end() :]
        if match := _OPENAI.search(rest):
            return lend(self._openai, method, "/" + match[1])
        resource, _, action = rest.rpartition(":")
        if resource and "/" not in action:
            return self._raw(method, resource) if action in _RAW else google_method(method, resource, action)
        if "publishers/" in rest:
            return MODELS if method == "GET" else UNKNOWN
        located = _LOCATED.match(rest)
        family = located[1] if located else ""
        if family in _STATE:
            return Operation(_STATE[family], repeatable=method == "GET", json_request=False)
        return UNKNOWN

    def describe(self, operation: Operation, path: str, query: str, body: Json | None) -> CallFacts:
        """As the maker of the model would, with the model of the path."""
        facts = super().describe(operation, path, query, body)
        if isinstance(operation, GuestOperation) and path.endswith(_RAW_ENDINGS):
            facts = replace(facts, model=model_in(path))
        return replace(facts, stream=True) if path.endswith(":streamRawPredict") else facts

    def is_added_usage(self, event: bytes) -> bool:
        """Only OpenAI's shape is ever asked."""
        return self._openai.is_added_usage(event)

    def own_facts(self, operation: Operation, path: str, body: Json | None) -> CallFacts:
        """What a request in Anthropic's or in Google's shape asks for."""
        if operation is anthropic.MESSAGES or operation is anthropic.COUNT_TOKENS:
            facts = anthropic.describe_messages(body or {})
            named = model_in(path)  # `count-tokens` stands for a model there; the body then names the real one
            return facts if named == "count-tokens" else replace(facts, model=named)
        return generation_facts(path, body or {}) if operation.json_request else CallFacts()

    def own_reader(self, operation: Operation, facts: CallFacts, media_type: str) -> UsageReader | None:
        """By operation: only Anthropic's are named `messages`."""
        if operation.name == anthropic.MESSAGES.name:
            return anthropic.messages_reader(media_type)
        return google_reader(operation, facts, media_type)

    def credential(self, headers: HeaderList, query: Mapping[str, str]) -> bytes:
        """The bearer token, or an API key in express mode."""
        return google_credential(headers, query)

    def error(self, status: int, code: str, message: str) -> ErrorShape:
        """Google's error object."""
        return google_error(status, message)

    def _raw(self, method: str, resource: str) -> Operation:
        match = _PUBLISHER.search(resource)
        if match is None or method != "POST":
            return UNKNOWN
        if match[1] != "anthropic":
            return lend(self._openai, method, "/chat/completions")
        return anthropic.COUNT_TOKENS if match[2].startswith("count-tokens") else anthropic.MESSAGES
