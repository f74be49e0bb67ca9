"""Gemini's batchEmbedContents by element: an array of whole requests, and an array of what each would have given.

https://ai.google.dev/api/embeddings
"""

from collections.abc import Sequence
from typing import Final

from proxy.exchange.elements import Answered, Asked, Element
from proxy.exchange.raw_json import Span, items, members, replaced
from proxy.providers.elements.parts import (
    HOLE,
    asked_of,
    counted,
    document,
    lasting_members,
    read_or_none,
    split_or_none,
    with_count,
)

_COUNTS: Final = ("promptTokenCount",)


class GeminiElements:
    """The dialect; see proxy.exchange.elements.ElementDialect."""

    most = 100
    is_known = True

    def split(self, raw: bytes) -> Asked | None:
        """By `requests`; nothing may stand beside them."""
        return split_or_none(lambda each: asked_of(each, "requests", frozenset(), _requests), raw)

    def read(self, raw: bytes, count: int) -> Answered | None:
        """By `embeddings`, each an object that is kept as it is."""
        return read_or_none(_read, raw, count)

    def assemble(self, template: bytes, values: Sequence[bytes], tokens: int | None) -> bytes:
        """The template with its array filled, and its count, where it has one."""
        at = members(template)
        changes = [(at["embeddings"], b"[" + b",".join(values) + b"]")]
        if "usageMetadata" in at:
            changes.append((at["usageMetadata"], with_count(at["usageMetadata"].of(template), _COUNTS, tokens or 0)))
        return replaced(template, sorted(changes))

    def lasting(self, template: bytes) -> bytes:
        """All of it."""
        return lasting_members(template)


def _requests(raw: bytes, span: Span) -> list[Element]:
    return [document(at.of(raw)) for at in items(raw, span.start)]


def _read(raw: bytes, count: int) -> Answered:
    at = members(raw)
    if not at.keys() <= {"embeddings", "usageMetadata"}:
        raise ValueError("more than vectors")
    values = [each.of(raw) for each in items(raw, at["embeddings"].start)]
    if len(values) != count or not all("values" in members(value) for value in values):
        raise ValueError("not one vector for each input")
    changes = [(at["embeddings"], HOLE)]
    total: int | None = None
    if "usageMetadata" in at:
        total, counts = counted(raw, at["usageMetadata"], _COUNTS)
        changes.append((at["usageMetadata"], counts))
    return Answered(tuple(values), total, replaced(raw, sorted(changes)))
