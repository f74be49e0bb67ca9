"""The rest of OpenAI's API that applications use every day: embeddings, images, audio, moderations, files, batches.

Rules: an embedding follows from its model, its text and its dimensions alone, so that arrays may be cut and joined in
tests. Nothing is stored: files and batches are answered as if they had just been made.
"""

import re
from base64 import b64encode
from typing import Final

from proxy.demo.asks import Answer, Ask, as_count, as_list, as_text, stream, whole
from proxy.demo.content import packed, prompt_text, sound, tokens, vector, words
from proxy.exchange.headers import HeaderList
from proxy.exchange.provider import Json

_DIMENSIONS: Final = {"text-embedding-3-large": 3072}
_AUDIO_TYPES: Final = {"mp3": "audio/mpeg", "wav": "audio/wav", "opus": "audio/opus", "flac": "audio/flac"}
_FIELD: Final = re.compile(rb'name="([a-z_]+)"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)\r\n')
_CATEGORIES: Final = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
_DAY_S: Final = 86_400


def embeddings(ask: Ask, headers: HeaderList) -> Answer:
    """POST /embeddings. Inputs are texts or token arrays, one or several."""
    model = as_text(ask.json.get("model"))
    given = ask.json.get("input")
    several = isinstance(given, list) and not all(isinstance(item, int) for item in given)
    inputs = as_list(given) if several else [given]
    dimensions = as_count(ask.json.get("dimensions")) or _DIMENSIONS.get(model, 1536)
    rows: list[Json] = []
    for index, item in enumerate(inputs):
        values = vector(f"{model}/{item}".encode(), min(dimensions, 4096))
        coded = ask.json.get("encoding_format") == "base64"
        rows.append(
            {
                "object": "embedding",
                "index": index,
                "embedding": b64encode(packed(values)).decode() if coded else values,
            }
        )
    count = sum(len(item) if isinstance(item, list) else tokens(prompt_text(item)) for item in inputs)
    used = {"prompt_tokens": count, "total_tokens": count}
    return whole({"object": "list", "data": rows, "model": model, "usage": used}, headers=headers)


def images(ask: Ask, headers: HeaderList) -> Answer:
    """POST /images/generations and /images/edits: base64, as the current models answer."""
    seed = ask.text_seed(sampled=True)
    count = min(as_count(ask.json.get("n")) or 1, 10)
    pictures = [
        {"b64_json": b64encode(b"\x89PNG\r\n\x1a\n" + sound(seed + bytes([n]), 2048)).decode()} for n in range(count)
    ]
    asked = tokens(prompt_text(ask.json.get("prompt")))
    used = {
        "input_tokens": asked,
        "input_tokens_details": {"text_tokens": asked, "image_tokens": 0},
        "output_tokens": 1056 * count,
        "total_tokens": asked + 1056 * count,
    }
    return whole({"created": ask.created, "data": pictures, "usage": used}, headers=headers)


def speech(ask: Ask, headers: HeaderList) -> Answer:
    """POST /audio/speech: audio bytes, streamed."""
    seed = ask.text_seed(sampled=False)
    kind = _AUDIO_TYPES.get(as_text(ask.json.get("response_format")) or "mp3", "application/octet-stream")
    pieces = [sound(seed + bytes([n]), 1024) for n in range(min(ask.words, 64))]
    return stream(pieces, content_type=kind.encode(), headers=headers)


def transcription(ask: Ask, headers: HeaderList) -> Answer:
    """POST /audio/transcriptions and /audio/translations, which are multipart forms."""
    form = dict(_FIELD.findall(ask.body))
    # The boundary is random: it must not change the answer.
    text = "".join(words(b"audio %d" % (len(ask.body) // 64), ask.words))
    if form.get(b"response_format") in (b"text", b"srt", b"vtt"):
        return Answer([text.encode() + b"\n"], 200, [(b"content-type", b"text/plain; charset=utf-8"), *headers])
    used = {
        "type": "tokens",
        "input_tokens": 14,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
        "output_tokens": ask.words,
        "total_tokens": 14 + ask.words,
    }
    return whole({"text": text, "usage": used}, headers=headers)


def moderations(ask: Ask, headers: HeaderList) -> Answer:
    """POST /moderations: nothing is ever flagged, unless the input says "flagged"."""
    given = ask.json.get("input")
    results = [_moderation("flagged" in prompt_text(item)) for item in (as_list(given) or [given])]
    body = {"id": ask.unique("modr-"), "model": "omni-moderation-latest", "results": results}
    return whole(body, headers=headers)


def _moderation(flagged: bool) -> Json:
    return {
        "flagged": flagged,
        "categories": {name: flagged and name == "violence" for name in _CATEGORIES},
        "category_scores": {name: 0.9 if flagged and name == "violence" else 0.0001 for name in _CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }


def files(ask: Ask, headers: HeaderList) -> Answer:
    """/files: upload, list, look at, delete, fetch."""
    tail = ask.path.rpartition("/files")[2].strip("/")
    if ask.call.method == "POST":
        return whole(_file(ask, ask.unique("file-"), len(ask.body)), headers=headers)
    if tail.endswith("/content"):
        return Answer([b'{"custom_id":"1"}\n'], 200, [(b"content-type", b"application/octet-stream"), *headers])
    if ask.call.method == "DELETE":
        return whole({"id": tail, "object": "file", "deleted": True}, headers=headers)
    if tail:
        return whole(_file(ask, tail, 120), headers=headers)
    return whole({"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}, headers=headers)


def _file(ask: Ask, identifier: str, size: int) -> Json:
    return {
        "id": identifier,
        "object": "file",
        "bytes": size,
        "created_at": ask.created,
        "expires_at": None,
        "filename": "input.jsonl",
        "purpose": "batch",
        "status": "processed",
    }


def batches(ask: Ask, headers: HeaderList) -> Answer:
    """/batches: create, list, look at, cancel."""
    tail = ask.path.rpartition("/batches")[2].strip("/").partition("/")[0]
    if ask.call.method == "GET" and not tail:
        empty = {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}
        return whole(empty, headers=headers)
    body: Json = {
        "id": tail or ask.unique("batch_"),
        "object": "batch",
        "endpoint": as_text(ask.json.get("endpoint")) or "/v1/chat/completions",
        "errors": None,
        "input_file_id": as_text(ask.json.get("input_file_id")) or "file-abc",
        "completion_window": "24h",
        "status": "in_progress" if tail else "validating",
        "created_at": ask.created,
        "expires_at": ask.created + _DAY_S,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": None,
    }
    return whole(body, headers=headers)
