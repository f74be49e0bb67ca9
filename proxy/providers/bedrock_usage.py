"""What Amazon Bedrock reports: one shape for Converse, each maker's own for InvokeModel, and two binary streams.

Rules: Converse counts what was read from or written to a cache beside the input, so it is added up. The streams of
InvokeModel close with a chunk of Bedrock's own counts. No answer names the model as it is priced, so the path's name
stands. An exception message, whenever it comes, means that the answer is not complete.
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from proxy.exchange.provider import Json, UsageReader
from proxy.exchange.usage import Usage
from proxy.providers.anthropic import MessageCount, read_usage
from proxy.providers.fields import child, number, objects, parse, text
from proxy.providers.openai_usage import read_document
from proxy.providers.readers import LIMIT_BYTES, JsonUsageReader
from proxy.wire.eventstream import EventMessage, EventStreamReader

METRICS: Final = "amazon-bedrock-invocationMetrics"

# How a chunk of text in an Anthropic stream begins, in base64: such chunks are passed over without being decoded.
_CONTENT_CHUNK: Final = b'{"bytes":"' + base64.b64encode(b'{"type":"content_bloc')


def converse_reader(model: str) -> UsageReader:
    """A reader for one answer of Converse."""
    return JsonUsageReader(lambda document: read_converse(document, model), is_error)


def invoke_reader(model: str) -> UsageReader:
    """A reader for one answer of InvokeModel."""
    return JsonUsageReader(lambda document: read_invoke(document, model), is_error)


class MessagesReader:
    """A binary stream. `take` is shown each message that is no exception, and says True at the stream's own end."""

    def __init__(self, take: Callable[[EventMessage], bool], usage: Callable[[], Usage | None]) -> None:
        self._reader = EventStreamReader(LIMIT_BYTES)
        self._take = take
        self._read = usage
        self._has_ended = False
        self._has_failed = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        for message in self._reader.feed(data):
            if message.headers.get(":message-type", "event") != "event":
                self._has_failed = True
            elif self._take(message):
                self._has_ended = True
        if self._reader.broken:
            self._has_failed = True

    def usage(self) -> Usage | None:
        """What was reported."""
        return self._read()

    def is_complete(self) -> bool:
        """True after the stream's own end, unless an exception came."""
        return self._has_ended and not self._has_failed


class ConverseStream:
    """Follows ConverseStream: `messageStop` ends the answer, and `metadata` has its counts."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._stopped = False
        self._usage: Usage | None = None

    def take(self, message: EventMessage) -> bool:
        """True once both have come."""
        kind = message.headers.get(":event-type")
        if kind == "messageStop":
            self._stopped = True
        elif kind == "metadata" and (document := parse(message.payload)) is not None:
            self._usage = read_converse(document, self._model)
        return self._stopped and self._usage is not None

    def usage(self) -> Usage | None:
        """The counts of `metadata`."""
        return self._usage


class InvokeStream:
    """Follows InvokeModelWithResponseStream: chunks are the maker's own events, in base64."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._messages = MessageCount()
        self._usage: Usage | None = None

    def take(self, message: EventMessage) -> bool:
        """True at the chunk that closes the stream."""
        if message.payload.startswith(_CONTENT_CHUNK):
            return False
        try:
            chunk = base64.b64decode(text(parse(message.payload) or {}, "bytes"))
        except binascii.Error:
            return False
        # Only events that count anything are parsed; the makers' words for it all have one of these in them.
        if not (b"nvocationMetrics" in chunk or b'"usage"' in chunk or b'"message_' in chunk):
            return False
        event = parse(chunk)
        return event is not None and self._follow(event)

    def usage(self) -> Usage | None:
        """Bedrock's own counts, with what only the maker's events break out."""
        return self._usage

    def _follow(self, event: Json) -> bool:
        counted = self._messages.read(event) if "type" in event else None
        if counted is not None:
            self._usage = replace(counted, model=self._model)
        metrics = child(event, METRICS)
        if metrics and self._usage is None:
            self._usage = _from_metrics(metrics, self._model)
        return bool(metrics) or event.get("type") == "message_stop"


def read_converse(document: Json, model: str) -> Usage | None:
    """The usage in an answer of Converse, or in the `metadata` event of its stream."""
    counts = child(document, "usage")
    if "inputTokens" not in counts:
        return None
    cache_read = number(counts, "cacheReadInputTokens") or number(counts, "cacheReadInputTokenCount")
    cache_write = number(counts, "cacheWriteInputTokens") or number(counts, "cacheWriteInputTokenCount")
    hour = sum(number(part, "inputTokens") for part in objects(counts, "cacheDetails") if part.get("ttl") == "1h")
    return Usage(
        input_tokens=number(counts, "inputTokens") + cache_read + cache_write,
        output_tokens=number(counts, "outputTokens"),
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        cache_write_1h_tokens=min(hour, cache_write),
        model=model,
        service_tier=_tier(document),
    )


def read_invoke(document: Json, model: str) -> Usage | None:
    """The usage in an answer of InvokeModel, by the shape it has; None when its maker reports none."""
    counts = child(document, "usage")
    if "inputTokens" in counts:  # Amazon Nova
        return read_converse(document, model)
    if "input_tokens" in counts and "prompt_tokens" not in counts:  # Anthropic
        return replace(read_usage(counts, model, text(document, "id")), model=model)
    if counts:  # AI21, DeepSeek, Mistral, OpenAI, Qwen
        usage = read_document(document)
        return replace(usage, model=model) if usage else None
    if "inputTextTokenCount" in document:  # Amazon Titan
        written = sum(number(result, "tokenCount") for result in objects(document, "results"))
        return Usage(input_tokens=number(document, "inputTextTokenCount"), output_tokens=written, model=model)
    if "prompt_token_count" in document:  # Meta
        return Usage(
            input_tokens=number(document, "prompt_token_count"),
            output_tokens=number(document, "generation_token_count"),
            model=model,
        )
    return None


def is_error(document: Json) -> bool:
    """True for a document that has nothing but a message."""
    return set(document) <= {"message", "Message", "__type"}


def _from_metrics(metrics: Json, model: str) -> Usage:
    cache_read = number(metrics, "cacheReadInputTokenCount")
    cache_write = number(metrics, "cacheWriteInputTokenCount")
    return Usage(
        input_tokens=number(metrics, "inputTokenCount") + cache_read + cache_write,
        output_tokens=number(metrics, "outputTokenCount"),
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        model=model,
    )


def _tier(document: Json) -> str:
    """The service tier; latency-optimized inference has a price of its own and counts as one."""
    if child(document, "performanceConfig").get("latency") == "optimized":
        return "optimized"
    return text(child(document, "serviceTier"), "type")
