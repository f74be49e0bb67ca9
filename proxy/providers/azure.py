"""Azure OpenAI and Azure AI Foundry: OpenAI's operations below other paths, with a deployment in place of a model, and
Anthropic's Messages API below /anthropic.

Rules: a deployment's name is the customer's own, so it stands for the model only until the answer names the real one.
Asking for usage is left alone where it is an error: before api-version 2024-09-01-preview, and with `data_sources`.
https://learn.microsoft.com/azure/ai-services/openai/reference
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar, Final
from urllib.parse import parse_qs, unquote

from proxy.exchange.elements import ElementDialect
from proxy.exchange.provider import CallFacts, Json, Operation
from proxy.providers.anthropic import MESSAGES
from proxy.providers.compatible import Compatible
from proxy.providers.elements.openai import OpenAIElements
from proxy.providers.openai_paths import CHAT, OPENAI_POSTS, OPENAI_STATE

_DEPLOYMENT: Final = re.compile(r"/openai/deployments/([^/]+)/(.+)")
_INFERENCE: Final = frozenset({"chat/completions", "embeddings"})  # of Azure AI model inference, below /models
_FIRST_TO_ASK: Final = "2024-09-01"  # dates compare as text; a suffix such as -preview sorts after its date


class Azure(Compatible):
    """The dialect."""

    elements: ClassVar[ElementDialect] = OpenAIElements(is_known=True)
    posts: ClassVar[Mapping[str, Operation]] = MappingProxyType(
        {**OPENAI_POSTS, "extensions/chat/completions": CHAT, "messages": MESSAGES}
    )
    state: ClassVar[Mapping[str, str]] = MappingProxyType({**OPENAI_STATE, "deployments": "deployments"})

    def inner_path(self, path: str) -> str:
        """Below /openai/deployments/NAME, /openai/v1, /openai, /anthropic/v1 or, for two operations, /models."""
        base = self._entry.base_path
        path = path.removeprefix(base).rstrip("/") if path.startswith(base + "/") else ""
        if match := _DEPLOYMENT.fullmatch(path):
            return match[2]
        for prefix in ("/openai/v1/", "/openai/", "/anthropic/v1/"):
            if path.startswith(prefix):
                return path[len(prefix) :]
        inner = path.removeprefix("/models/")
        return inner if inner in _INFERENCE else ""

    def describe(self, operation: Operation, path: str, query: str, body: Json | None) -> CallFacts:
        """As OpenAI, with the deployment for a model that the body does not name."""
        facts = super().describe(operation, path, query, body)
        if not facts.model and (match := _DEPLOYMENT.search(path)):
            facts = replace(facts, model=unquote(match[1]))
        if not facts.asks_usage and (_is_too_old(query) or _has_own_data(body)):
            facts = replace(facts, asks_usage=True)
        return facts

    def ask_usage(self, operation: Operation, raw: bytes, body: Json) -> bytes | None:
        """As OpenAI, but never with `data_sources`. The api-version is seen by `describe` alone."""
        return None if _has_own_data(body) else super().ask_usage(operation, raw, body)


def _is_too_old(query: str) -> bool:
    versions = parse_qs(query).get("api-version")
    return versions is not None and versions[0][:1].isdigit() and versions[0] < _FIRST_TO_ASK


def _has_own_data(body: Json | None) -> bool:
    return body is not None and any(body.get(key) for key in ("data_sources", "dataSources"))
