"""Mistral's API: OpenAI-shaped, with its own seed, its own operations and its own errors.

Rules: streams report usage on their last chunk unasked. Agents keep their instructions at the provider, where they may
change, so what an agent said is never given again; a plain chat is. Pages of OCR are not tokens: no usage is reported.
https://docs.mistral.ai/api
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar, Final

import orjson

from proxy.exchange.provider import CallFacts, ErrorShape, Json, Operation
from proxy.providers.openai import OpenAI
from proxy.providers.openai_paths import AUDIO, CHAT, EMBEDDINGS, MODERATIONS

FIM: Final = Operation("fim", answers=True, sampled=True, repeatable=True)
AGENTS: Final = Operation("agents", answers=True, sampled=True, repeatable=True)
OCR: Final = Operation("ocr", answers=True, repeatable=True)
CLASSIFICATIONS: Final = Operation("classifications", answers=True, repeatable=True)


class Mistral(OpenAI):
    """The dialect."""

    seed_key: ClassVar[str] = "random_seed"
    posts: ClassVar[Mapping[str, Operation]] = MappingProxyType(
        {
            "chat/completions": CHAT,
            "fim/completions": FIM,
            "agents/completions": AGENTS,
            "embeddings": EMBEDDINGS,
            "moderations": MODERATIONS,
            "chat/moderations": MODERATIONS,
            "classifications": CLASSIFICATIONS,
            "chat/classifications": CLASSIFICATIONS,
            "ocr": OCR,
            "audio/transcriptions": AUDIO,
        }
    )
    state: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "agents": "agents",
            "conversations": "conversations",
            "libraries": "libraries",
            "models": "models",
            "files": "files",
            "batch": "batches",
            "fine_tuning": "fine_tuning",
        }
    )

    def describe(self, operation: Operation, path: str, query: str, body: Json | None) -> CallFacts:
        """As OpenAI, but an agent's answer depends on what is kept of it at the provider."""
        facts = super().describe(operation, path, query, body)
        return replace(facts, stateful=True) if operation == AGENTS else facts

    def error(self, status: int, code: str, message: str) -> ErrorShape:
        """Mistral's flat error object."""
        body = {"object": "error", "message": message, "type": code, "param": None, "code": str(status)}
        return ErrorShape(b"application/json", orjson.dumps(body))
