"""Which host speaks which dialect.

Rules: a host belongs to one dialect; a host that is no provider answers with a small page of its own, as any web server
would. `HOSTS` are the exact names that a certificate for the simulator should carry, `WILDCARDS` the patterns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from proxy.demo import anthropic_wire, bedrock_wire, cohere_wire, gemini_wire, ollama_wire, openai_wire
from proxy.demo.asks import Answer, Ask, whole


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one provider answers, and what its errors look like."""

    name: str
    answer: Callable[[Ask], Answer]
    error: Callable[[Ask, int, str], Answer]


def _website(ask: Ask) -> Answer:
    return whole({"host": ask.call.host, "method": ask.call.method, "target": ask.call.target, "bytes": len(ask.body)})


def _website_error(_ask: Ask, status: int, message: str) -> Answer:
    return Answer([message.encode()], status, [(b"content-type", b"text/plain; charset=utf-8")])


def _openai_like(name: str) -> Dialect:
    return Dialect(name, openai_wire.compatible(name), openai_wire.error)


_WEBSITE: Final = Dialect("website", _website, _website_error)
_GEMINI: Final = Dialect("gemini", gemini_wire.answer, gemini_wire.error)
_BEDROCK: Final = Dialect("bedrock", bedrock_wire.answer, bedrock_wire.error)
_COHERE: Final = Dialect("cohere", cohere_wire.answer, cohere_wire.error)
_AZURE: Final = Dialect("azure", openai_wire.azure, openai_wire.error)
_OPENAI: Final = Dialect("openai", openai_wire.answer, openai_wire.error)

HOSTS: Final[dict[str, Dialect]] = {
    "api.openai.com": _OPENAI,
    "eu.api.openai.com": _OPENAI,
    "us.api.openai.com": _OPENAI,
    "api.anthropic.com": Dialect("anthropic", anthropic_wire.answer, anthropic_wire.error),
    "generativelanguage.googleapis.com": _GEMINI,
    "aiplatform.googleapis.com": _GEMINI,
    "api.mistral.ai": _openai_like("mistral"),
    "codestral.mistral.ai": _openai_like("mistral"),
    "api.cohere.com": _COHERE,
    "api.cohere.ai": _COHERE,
    "api.groq.com": _openai_like("groq"),
    "api.together.ai": _openai_like("together"),
    "api.together.xyz": _openai_like("together"),
    "openrouter.ai": _openai_like("openrouter"),
    "api.deepseek.com": _openai_like("deepseek"),
    "api.x.ai": _openai_like("xai"),
    "api.fireworks.ai": _openai_like("fireworks"),
    "api.perplexity.ai": _openai_like("perplexity"),
    "api.cerebras.ai": _openai_like("cerebras"),
    "ollama.com": Dialect("ollama", ollama_wire.answer, ollama_wire.error),
}
_PATTERNS: Final = (
    ("*.openai.azure.com", _AZURE),
    ("*.cognitiveservices.azure.com", _AZURE),
    ("*.services.ai.azure.com", _AZURE),
    ("*-aiplatform.googleapis.com", _GEMINI),
    ("bedrock*.amazonaws.com", _BEDROCK),
    ("ollama*", HOSTS["ollama.com"]),
    ("bench.example.test", _OPENAI),  # what `skinflint bench` asks for: a name that nobody can own
)
WILDCARDS: Final = (
    "*.openai.azure.com",
    "*.cognitiveservices.azure.com",
    "*.services.ai.azure.com",
    "*.googleapis.com",
    *(
        f"{service}.{region}.amazonaws.com"
        for service in ("bedrock", "bedrock-runtime")
        for region in ("us-east-1", "eu-central-1")
    ),
    "*.example.test",
    "example.test",
    "ollama",
    "localhost",
)


def dialect_of(host: str) -> Dialect:
    """The dialect that a host speaks."""
    if (known := HOSTS.get(host)) is not None:
        return known
    for pattern, dialect in _PATTERNS:
        if fnmatchcase(host, pattern):
            return dialect
    return _WEBSITE
