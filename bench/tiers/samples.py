"""Answers like those of providers, by kind, as entries: the fields, and the frame of each body, are a provider's.

Rules: pure, the same for the same number. The text is English prose, Python's own reference as every installation has
it: words drawn at random would pack worse, and repeated ones better, than what models write.
"""

import base64
import functools
import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pydoc_data import topics
from types import MappingProxyType
from typing import Final

import orjson

from proxy.exchange.usage import Usage
from proxy.stores.base import Entry, pack

_DIMENSIONS: Final = 1536
_STORED_AT: Final = 1_790_000_000.25
_MODEL: Final = "gpt-4o-mini-2024-07-18"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of answer, and how many of them are kept to see what one takes."""

    body: Callable[[random.Random], bytes]
    count: int
    operation: str = "chat"
    content_type: bytes = b"application/json"


def entry(name: str, number: int, *, packed: bool = True) -> Entry:
    """Answer `number` of a kind; `packed`: with its body compressed, as entries have it."""
    kind = KINDS[name]
    rng = random.Random(f"{name} {number}")
    body = kind.body(rng)
    kept, was_packed = pack(body, None) if packed else (body, False)
    return Entry(
        status=200,
        headers=fields(rng, kind.content_type),
        body=kept,
        packed=was_packed,
        stored_at=_STORED_AT + number,
        ttl_s=1e9,
        provider="openai",
        operation=kind.operation,
        model="gpt-4o-mini",
        usage=Usage(input_tokens=rng.randrange(4000), output_tokens=rng.randrange(4000), model=_MODEL),
        cost_nanousd=rng.randrange(10**6),
        took_ms=rng.randrange(200, 20_000),
        credential=rng.randbytes(6).hex(),
    )


@functools.cache
def _prose() -> list[str]:
    return " ".join(text for _, text in sorted(topics.topics.items())).split()


def _text(rng: random.Random, least: int, most: int) -> list[str]:
    """So many words that follow one another."""
    words = _prose()
    count = rng.randrange(least, most)
    start = rng.randrange(len(words) - count)
    return words[start : start + count]


def _chat(rng: random.Random, least: int, most: int) -> bytes:
    words = _text(rng, least, most)
    message: dict[str, object] = {"role": "assistant", "content": " ".join(words), "refusal": None, "annotations": []}
    answer = {
        **_frame(rng, "chat.completion"),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": _usage(rng, len(words)),
    }
    return orjson.dumps(answer)


def _stream(rng: random.Random) -> bytes:
    """A word an event, nearly as models' tokens are."""
    frame = _frame(rng, "chat.completion.chunk")
    words = _text(rng, 20, 200)
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}, *[{"content": f" {each}"} for each in words]]
    events: list[dict[str, object]] = [
        {**frame, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}], "usage": None}
        for delta in deltas
    ]
    events.append({**frame, "choices": [], "usage": _usage(rng, len(words))})
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events) + b"data: [DONE]\n\n"


def _vector(rng: random.Random) -> bytes:
    """As 32-bit floats, of length 1."""
    return struct.pack(f"<{_DIMENSIONS}f", *[rng.gauss(0.0, _DIMENSIONS**-0.5) for _ in range(_DIMENSIONS)])


def _embedding(rng: random.Random, *, as_numbers: bool) -> bytes:
    packed = _vector(rng)
    vector: object = base64.b64encode(packed).decode()
    if as_numbers:
        vector = struct.unpack(f"<{_DIMENSIONS}f", packed)
    answer = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": vector}],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": rng.randrange(8, 400), "total_tokens": rng.randrange(8, 400)},
    }
    return orjson.dumps(answer)


def _frame(rng: random.Random, kind: str) -> dict[str, object]:
    return {
        "id": f"chatcmpl-{base64.b64encode(rng.randbytes(21)).decode()}",
        "object": kind,
        "created": 1_790_000_000 + rng.randrange(10**6),
        "model": _MODEL,
        "service_tier": "default",
        "system_fingerprint": f"fp_{rng.randbytes(5).hex()}",
    }


def _usage(rng: random.Random, output: int) -> dict[str, object]:
    asked = rng.randrange(20, 4000)
    return {
        "prompt_tokens": asked,
        "completion_tokens": output,
        "total_tokens": asked + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def fields(rng: random.Random, content_type: bytes) -> list[tuple[bytes, bytes]]:
    """As a provider behind a delivery network sends them."""
    return [
        (b"date", b"Sat, 28 Nov 2026 14:%02d:%02d GMT" % (rng.randrange(60), rng.randrange(60))),
        (b"content-type", content_type),
        (b"openai-organization", b"acme-inc"),
        (b"openai-processing-ms", b"%d" % rng.randrange(200, 4000)),
        (b"openai-version", b"2020-10-01"),
        (b"x-ratelimit-remaining-requests", b"%d" % rng.randrange(9000, 10_000)),
        (b"x-ratelimit-remaining-tokens", b"%d" % rng.randrange(1_900_000, 2_000_000)),
        (b"x-request-id", b"req_" + rng.randbytes(16).hex().encode()),
        (b"strict-transport-security", b"max-age=31536000; includeSubDomains; preload"),
        (b"cf-cache-status", b"DYNAMIC"),
        (b"x-content-type-options", b"nosniff"),
        (b"server", b"cloudflare"),
        (b"cf-ray", rng.randbytes(8).hex().encode() + b"-FRA"),
    ]


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "chat, short": Kind(lambda rng: _chat(rng, 15, 120), 500),
        "chat, long": Kind(lambda rng: _chat(rng, 500, 2500), 200),
        "chat, streamed": Kind(_stream, 200, content_type=b"text/event-stream; charset=utf-8"),
        "embedding, numbers": Kind(lambda rng: _embedding(rng, as_numbers=True), 100, "embeddings"),
        "embedding, base64": Kind(lambda rng: _embedding(rng, as_numbers=False), 100, "embeddings"),
    }
)
