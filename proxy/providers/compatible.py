"""Servers that speak OpenAI's dialect and more: Groq, Together, OpenRouter, DeepSeek, xAI, Fireworks, vLLM and others.

Rules: OpenAI's operations first; then what these servers have in common and OpenAI lacks (rerankers, scores, token
counts). Where a server also speaks Anthropic's Messages API, those calls are Anthropic's in every respect but the host.
Their own fields in shared answers are read in openai_usage.py.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar, Final

from proxy.exchange.elements import ElementDialect
from proxy.exchange.headers import HeaderList, first
from proxy.exchange.provider import CallFacts, Json, Operation, UsageReader
from proxy.providers.anthropic import COUNT_TOKENS, MESSAGES, Anthropic
from proxy.providers.elements.openai import OpenAIElements
from proxy.providers.entry import ProviderEntry
from proxy.providers.openai import OpenAI
from proxy.providers.openai_paths import OPENAI_POSTS, OPENAI_STATE

RERANK: Final = Operation("rerank", answers=True, repeatable=True)
SCORE: Final = Operation("score", answers=True, repeatable=True)
CLASSIFY: Final = Operation("classify", answers=True, repeatable=True)
POOLING: Final = Operation("pooling", answers=True, repeatable=True)
TOKENIZE: Final = Operation("tokenize", answers=True, repeatable=True)


class Compatible(OpenAI):
    """The dialect."""

    elements: ClassVar[ElementDialect] = OpenAIElements(is_known=False)
    posts: ClassVar[Mapping[str, Operation]] = MappingProxyType(
        {
            **OPENAI_POSTS,
            "rerank": RERANK,
            "score": SCORE,
            "classify": CLASSIFY,
            "pooling": POOLING,
            "tokenize": TOKENIZE,
            "detokenize": TOKENIZE,
            "tokenize-text": TOKENIZE,  # xAI
            "messages": MESSAGES,  # OpenRouter, xAI, vLLM
            "messages/count_tokens": COUNT_TOKENS,
            "anthropic/v1/messages": MESSAGES,  # DeepSeek
        }
    )
    state: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            **OPENAI_STATE,
            "fine-tunes": "fine_tuning",  # Together
            "generation": "account",  # OpenRouter: what a call cost
            "credits": "account",
            "key": "account",
            "keys": "account",
            "api-key": "account",
            "user": "account",  # DeepSeek: the balance
        }
    )

    def __init__(self, entry: ProviderEntry) -> None:
        super().__init__(entry)
        self._anthropic = Anthropic(entry)

    def describe(self, operation: Operation, path: str, query: str, body: Json | None) -> CallFacts:
        """As OpenAI or Anthropic; xAI's deferred answers are state."""
        if operation == MESSAGES:
            return self._anthropic.describe(operation, path, query, body)
        facts = super().describe(operation, path, query, body)
        if body is not None and body.get("deferred") is True:
            return replace(facts, stateful=True)
        return facts

    def usage_reader(self, operation: Operation, facts: CallFacts, content_type: str) -> UsageReader | None:
        """As OpenAI or Anthropic."""
        if operation == MESSAGES:
            return self._anthropic.usage_reader(operation, facts, content_type)
        return super().usage_reader(operation, facts, content_type)

    def credential(self, headers: HeaderList, query: Mapping[str, str]) -> bytes:
        """As OpenAI, else the field that Anthropic's SDKs use."""
        return super().credential(headers, query) or (first(headers, b"x-api-key") or b"").strip()
