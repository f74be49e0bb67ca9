"""Cohere's embed, versions 1 and 2, by element: texts, and their vectors in one or several types.

Rules: the answer repeats the texts in its own way (version 1 in lower case), so a text is kept with its vectors: as
`[text, vector]`, or `[text, {type: vector}]` where vectors come by type. Images and mixed inputs stay whole.
https://docs.cohere.com/reference/embed
"""

from collections.abc import Sequence
from typing import Final

import orjson

from proxy.exchange.elements import Answered, Asked
from proxy.exchange.raw_json import Span, items, members, replaced
from proxy.providers.elements.parts import (
    HOLE,
    asked_of,
    counted,
    is_nothing,
    is_vector,
    lasting_members,
    read_or_none,
    split_or_none,
    texts,
    with_count,
)

_OPTIONS: Final = frozenset(
    {"model", "input_type", "embedding_types", "truncate", "output_dimension", "max_tokens", "priority"}
)
_COUNTS: Final = ("input_tokens",)
_PLAIN: Final = frozenset({"id", "response_type"})


class CohereElements:
    """The dialect; see proxy.exchange.elements.ElementDialect."""

    most = 96
    is_known = True

    def split(self, raw: bytes) -> Asked | None:
        """By `texts`."""
        return split_or_none(lambda each: asked_of(each, "texts", _OPTIONS, texts), raw)

    def read(self, raw: bytes, count: int) -> Answered | None:
        """By `embeddings` and `texts`."""
        return read_or_none(_read, raw, count)

    def assemble(self, template: bytes, values: Sequence[bytes], tokens: int | None) -> bytes:
        """The template with its arrays filled."""
        at = members(template)
        pairs = [items(value) for value in values]
        vectors = [pair[1].of(value) for pair, value in zip(pairs, values, strict=True)]
        embeddings = at["embeddings"].of(template)
        changes = [(at["embeddings"], _by_type(embeddings, vectors) if embeddings != HOLE else _array(vectors))]
        if "texts" in at:
            changes.append((at["texts"], _array([pair[0].of(raw) for pair, raw in zip(pairs, values, strict=True)])))
        meta = at["meta"].of(template)
        billed = members(meta)["billed_units"]
        counts = with_count(billed.of(meta), _COUNTS, tokens or 0)
        changes.append((at["meta"], replaced(meta, [(billed, counts)])))
        return replaced(template, sorted(changes))

    def lasting(self, template: bytes) -> bytes:
        """All but the answer's id."""
        return lasting_members(template)


def _by_type(template: bytes, values: Sequence[bytes]) -> bytes:
    kinds = members(template)
    found = [(members(value), value) for value in values]
    return replaced(
        template, [(at, _array([inner[kind].of(raw) for inner, raw in found])) for kind, at in kinds.items()]
    )


def _array(raws: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(raws) + b"]"


def _read(raw: bytes, count: int) -> Answered:
    at = members(raw)
    known = _PLAIN | {"embeddings", "texts", "meta"}
    if not all(is_nothing(orjson.loads(each.of(raw))) for name, each in at.items() if name not in known):
        raise ValueError("more than vectors of texts")
    vectors, hole = _vectors(raw, at["embeddings"], count)
    changes = [(at["embeddings"], hole)]
    echoed = [HOLE] * count
    if "texts" in at:
        echoed = [each.of(raw) for each in items(raw, at["texts"].start)]
        changes.append((at["texts"], HOLE))
    total, meta = _meta(at["meta"].of(raw))
    changes.append((at["meta"], meta))
    values = tuple(b"[" + text + b"," + vector + b"]" for text, vector in zip(echoed, vectors, strict=True))
    return Answered(values, total, replaced(raw, sorted(changes)))


def _vectors(raw: bytes, span: Span, count: int) -> tuple[list[bytes], bytes]:
    """What belongs to each text, and what stands in the template for all of it."""
    if raw[span.start : span.start + 1] == b"[":
        return _rows(raw, span, count), HOLE
    kinds = {kind: at for kind, at in members(raw, span.start).items() if at.of(raw) != b"null"}
    names = [orjson.dumps(kind) for kind in kinds]
    columns = [_rows(raw, at, count) for at in kinds.values()]
    rows = zip(*columns, strict=True)
    vectors = [_object(names, row) for row in rows]
    if len(vectors) != count:
        raise ValueError("not one vector for each text")
    return vectors, _object(names, [HOLE] * len(names))


def _object(names: Sequence[bytes], values: Sequence[bytes]) -> bytes:
    return b"{" + b",".join(name + b":" + value for name, value in zip(names, values, strict=True)) + b"}"


def _rows(raw: bytes, span: Span, count: int) -> list[bytes]:
    rows = [each.of(raw) for each in items(raw, span.start)]
    if len(rows) != count or not all(is_vector(row) for row in rows):
        raise ValueError("not one vector for each text")
    return rows


def _meta(raw: bytes) -> tuple[int, bytes]:
    at = members(raw)
    others = (orjson.loads(each.of(raw)) for name, each in at.items() if name not in ("api_version", "billed_units"))
    if not all(map(is_nothing, others)):
        raise ValueError("more than a count")
    total, counts = counted(raw, at["billed_units"], _COUNTS)
    return total, replaced(raw, [(at["billed_units"], counts)])
