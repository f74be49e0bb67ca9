"""Answers as providers give them, made up: the fields and the frame are the same in all, the rest is not."""

import base64
import random
from typing import Final

import orjson

from bench.tiers.samples import fields
from proxy.exchange.usage import Usage
from proxy.stores.base import Entry, pack

_TEXT: Final = (
    "the quick answer names three reasons why a cache may be wrong about what it holds and how one finds out before "
    "anybody asks again because nothing was written down in time although every part of it had been looked at twice"
)
_WORDS: Final = _TEXT.split()


def answer(number: int, *, words: int = 60) -> Entry:
    """A chat completion with the fields of a large provider."""
    rng = random.Random(number)
    body = orjson.dumps(
        {
            "id": f"chatcmpl-{base64.b64encode(rng.randbytes(21)).decode()}",
            "object": "chat.completion",
            "created": 1_790_000_000 + rng.randrange(10**6),
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": " ".join(rng.choices(_WORDS, k=words)),
                        "refusal": None,
                    },
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": rng.randrange(20, 4000),
                "completion_tokens": words,
                "total_tokens": rng.randrange(4000),
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
            },
            "service_tier": "default",
            "system_fingerprint": f"fp_{rng.randbytes(5).hex()}",
        }
    )
    packed, was_packed = pack(body, None)
    return Entry(
        status=200,
        headers=fields(rng, b"application/json"),
        body=packed,
        packed=was_packed,
        stored_at=1_790_000_000.25 + number,
        ttl_s=3600.0,
        provider="openai",
        operation="chat",
        model="gpt-4o-mini",
        usage=Usage(input_tokens=100, output_tokens=words, model="gpt-4o-mini-2024-07-18"),
        cost_nanousd=rng.randrange(10**6),
    )


def key(number: int) -> bytes:
    """A fingerprint."""
    return random.Random(number).randbytes(32)
