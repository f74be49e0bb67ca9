"""OpenAI's embeddings by element, as its compatible servers write them too.

Rules: an input is a text or an array of token numbers, given alone or in an array. Options that are not listed here
stay whole: Jina's `late_chunking`, for one, makes every vector depend on all inputs.
https://platform.openai.com/docs/api-reference/embeddings
"""

from collections.abc import Sequence
from typing import Final

import orjson

from proxy.exchange.elements import Answered, Asked, Element
from proxy.exchange.raw_json import Span, items, members, replaced
from proxy.providers.elements.parts import (
    HOLE,
    NO_COUNT,
    asked_of,
    counted,
    is_vector,
    lasting_members,
    read_or_none,
    split_or_none,
    text,
    tokens,
    with_count,
)

_OPTIONS: Final = frozenset(
    {
        "model",
        "dimensions",
        "encoding_format",
        "user",
        "safety_identifier",
        "input_type",  # Voyage, NVIDIA, Azure AI
        "truncation",  # Voyage: of each input
        "truncate",  # NVIDIA, text-embeddings-inference
        "output_dimension",  # Mistral, Voyage
        "output_dtype",
        "task",  # Jina
        "normalized",
        "embedding_type",
    }
)
_COUNTS: Final = ("prompt_tokens", "total_tokens")
_ITEM: Final = frozenset({"object", "index", "embedding"})


class OpenAIElements:
    """The dialect; see proxy.exchange.elements.ElementDialect."""

    most = 2048

    def __init__(self, *, is_known: bool) -> None:
        self._is_known = is_known

    @property
    def is_known(self) -> bool:
        """OpenAI's own API, not just one that is like it."""
        return self._is_known

    def split(self, raw: bytes) -> Asked | None:
        """By `input`."""
        return split_or_none(lambda each: asked_of(each, "input", _OPTIONS, _inputs), raw)

    def read(self, raw: bytes, count: int) -> Answered | None:
        """By `data`, in the order of its indices."""
        return read_or_none(_read, raw, count)

    def assemble(self, template: bytes, values: Sequence[bytes], tokens: int | None) -> bytes:
        """The template with its one row repeated."""
        at = members(template)
        row = items(template, at["data"].start)[0].of(template)
        inner = members(row)
        rows = [
            replaced(row, sorted([(inner["index"], b"%d" % index), (inner["embedding"], value)]))
            for index, value in enumerate(values)
        ]
        usage = with_count(at["usage"].of(template), _COUNTS, tokens or 0)
        return replaced(template, sorted([(at["data"], b"[" + b",".join(rows) + b"]"), (at["usage"], usage)]))

    def lasting(self, template: bytes) -> bytes:
        """The model, above all."""
        return lasting_members(template)


def _inputs(raw: bytes, span: Span) -> list[Element]:
    if raw[span.start : span.start + 1] == b'"':
        return [text(span.of(raw))]
    found = [at.of(raw) for at in items(raw, span.start)]
    if not found:
        return []
    if found[0].startswith(b'"'):
        return [text(each) for each in found]
    return [tokens(each) for each in found] if found[0].startswith(b"[") else [tokens(span.of(raw))]


def _read(raw: bytes, count: int) -> Answered:
    at = members(raw)
    data, usage = at["data"], at["usage"]
    values: list[bytes | None] = [None] * count
    rows = items(raw, data.start)
    if len(rows) != count:
        raise ValueError("not one row for each input")
    template_row = b""
    for row in rows:
        inner = members(raw, row.start)
        if not inner.keys() <= _ITEM:
            raise ValueError("a row with more than a vector")
        index, value = orjson.loads(inner["index"].of(raw)), inner["embedding"].of(raw)
        if not 0 <= index < count or values[index] is not None or not is_vector(value):
            raise ValueError("no vector, or not in its place")
        values[index] = value
        template_row = template_row or _row_template(row.of(raw))
    total, counts = counted(raw, usage, _COUNTS)
    template = replaced(raw, sorted([(data, b"[" + template_row + b"]"), (usage, counts)]))
    return Answered(tuple(value for value in values if value is not None), total, template)


def _row_template(row: bytes) -> bytes:
    inner = members(row)
    return replaced(row, sorted([(inner["index"], NO_COUNT), (inner["embedding"], HOLE)]))
