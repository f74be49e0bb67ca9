"""What Google's generateContent family reports, alone or in streams; shared by the Gemini API and Vertex AI.

Rules: `promptTokenCount` includes what came from a cache; tokens of tool results and of thinking are counted beside it
and beside the candidates. Every chunk of a stream repeats the counts so far, so only the last one is parsed, and only
when asked. There is no end marker: a stream is complete when a finish reason, or the reason of a blocked prompt, came.
https://ai.google.dev/api/generate-content#UsageMetadata
"""

from collections.abc import Callable
from typing import Final

from proxy.exchange.provider import Json, UsageReader
from proxy.exchange.usage import Usage
from proxy.providers.fields import child, number, objects, parse, text
from proxy.providers.json_array import ArraySplitter
from proxy.providers.readers import LIMIT_BYTES, JsonUsageReader
from proxy.wire.sse import SseSplitter, data_of

# Vertex AI names how the call was served; what is missing here is no tier of its own.
TRAFFIC: Final = {
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_PRIORITY": "priority",
    "PROVISIONED_THROUGHPUT": "provisioned_throughput",
}


def generation_reader(media_type: str, *, streams: bool) -> UsageReader:
    """A reader for one answer: server-sent events, the array that a stream is without `alt=sse`, or one document."""
    if media_type == "text/event-stream":
        return ChunkReader(_events(), data_of)
    if streams:
        array = ArraySplitter()
        return ChunkReader(array.feed, bytes, is_closed=lambda: array.is_closed)
    return JsonUsageReader(read_generation, is_error, key=b"usageMetadata")


class ChunkReader:
    """Keeps the last chunk that counts, unparsed.

    `split` finds the chunks, and raises ValueError when there can be no more; `content` is a chunk's JSON.
    """

    def __init__(
        self,
        split: Callable[[bytes], list[bytes]],
        content: Callable[[bytes], bytes],
        *,
        is_closed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._split = split
        self._content = content
        self._is_closed = is_closed
        self._last = b""
        self._has_finished = False
        self._has_failed = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        if self._has_failed:
            return
        try:
            chunks = self._split(data)
        except ValueError:
            self._has_failed, self._last = True, b""
            return
        for chunk in chunks:
            # Quotes inside of strings are escaped: these bytes are a member's name, and never a part of a text.
            if b'"usageMetadata"' in chunk:
                self._last = chunk
            if b'"finishReason"' in chunk or b'"blockReason"' in chunk or b'"error"' in chunk:
                self._judge(chunk)

    def usage(self) -> Usage | None:
        """What the last chunk with counts reports."""
        document = parse(self._content(self._last)) if self._last else None
        return read_generation(document) if document is not None else None

    def is_complete(self) -> bool:
        """True after a finish reason, unless an error came."""
        return self._has_finished and not self._has_failed and self._is_closed()

    def _judge(self, chunk: bytes) -> None:
        document = parse(self._content(chunk))
        if document is None:
            return
        if is_error(document):
            self._has_failed = True
        is_blocked = bool(text(child(document, "promptFeedback"), "blockReason"))
        if is_blocked or any(text(candidate, "finishReason") for candidate in objects(document, "candidates")):
            self._has_finished = True


def read_generation(document: Json) -> Usage | None:
    """The usage in an answer, in one chunk of a stream, or in an embedding; None when there is none."""
    counts = child(document, "usageMetadata")
    if not counts:
        return None
    thoughts = number(counts, "thoughtsTokenCount")
    return Usage(
        input_tokens=number(counts, "promptTokenCount") + number(counts, "toolUsePromptTokenCount"),
        output_tokens=number(counts, "candidatesTokenCount") + thoughts,
        cache_read_tokens=number(counts, "cachedContentTokenCount"),
        reasoning_tokens=thoughts,
        input_audio_tokens=_audio(counts, "promptTokensDetails"),
        output_audio_tokens=_audio(counts, "candidatesTokensDetails"),
        model=text(document, "modelVersion"),
        service_tier=_tier(counts),
        response_id=text(document, "responseId"),
    )


def read_prediction(document: Json) -> Usage | None:
    """Vertex AI's embeddings through `predict` count their tokens one by one."""
    statistics = [
        child(child(prediction, "embeddings"), "statistics") for prediction in objects(document, "predictions")
    ]
    total = sum(number(counts, "token_count") for counts in statistics)
    return Usage(input_tokens=total) if total else read_generation(document)


def is_error(document: Json) -> bool:
    """True for Google's error object."""
    return isinstance(document.get("error"), dict)


def _audio(counts: Json, key: str) -> int:
    return sum(number(part, "tokenCount") for part in objects(counts, key) if part.get("modality") == "AUDIO")


def _tier(counts: Json) -> str:
    named = text(counts, "serviceTier").lower().removeprefix("service_tier_")
    return named or TRAFFIC.get(text(counts, "trafficType"), "")


def _events() -> Callable[[bytes], list[bytes]]:
    splitter = SseSplitter(LIMIT_BYTES)

    def split(data: bytes) -> list[bytes]:
        events = splitter.feed(data)
        if splitter.overflowed:
            raise ValueError("an event is too long")
        return events

    return split
