"""What OpenAI-shaped answers report: tokens, the model that answered, the tier it ran in, and how a stream ends.

Rules: counts are read from the answer and never guessed. Chat counts are `prompt_tokens` and `completion_tokens`, those
of the Responses, image and audio APIs `input_tokens` and `output_tokens`; details are parts of them. Compatible servers
differ in where they put the same numbers: each place that is read has its owner beside it.
"""

import re
from typing import Final

from proxy.exchange.provider import Json
from proxy.exchange.usage import Usage
from proxy.providers.fields import child, number, objects, text
from proxy.providers.readers import StreamShape
from proxy.providers.stream_options import reports_usage

# Events that end a stream which has no `[DONE]`. `response.failed` and `error` are not among them.
_TERMINAL: Final = frozenset(
    {
        "response.completed",
        "response.incomplete",
        "image_generation.completed",
        "image_edit.completed",
        "speech.audio.done",
        "transcript.text.done",
    }
)

_LONGEST_DONE: Final = 128  # bytes of an event that is `[DONE]`, whatever other fields it has

# Starting with the rare dot, this costs a fraction of what looking for each name would. An `error` event needs no
# notice here: the stream that has one lacks its terminal event.
_ENDS_TYPED: Final = re.compile(rb'\.(?:completed|incomplete|failed|done)"').search


def read_document(document: Json) -> Usage | None:
    """The usage in an answer or in one event of a stream; None when it has none, or counts no tokens."""
    body = child(document, "response") or document  # the terminal events of the Responses API wrap the response
    usage = _usage_object(body)
    input_tokens = number(usage, "prompt_tokens") or number(usage, "input_tokens")
    output_tokens = number(usage, "completion_tokens") or number(usage, "output_tokens")
    total = number(usage, "total_tokens")
    if not input_tokens and not output_tokens:
        input_tokens = total  # rerankers and some embedders report nothing else
    if not input_tokens and not output_tokens:
        return None
    read = child(usage, "prompt_tokens_details") or child(usage, "input_tokens_details")
    read = read or child(usage, "input_token_details")  # transcriptions
    written = child(usage, "completion_tokens_details") or child(usage, "output_tokens_details")
    reasoning = number(written, "reasoning_tokens")
    if reasoning and total == input_tokens + output_tokens + reasoning:
        output_tokens += reasoning  # xAI counts reasoning beside the completion, not in it
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=_cached(usage, read),
        cache_write_tokens=number(read, "cache_write_tokens"),  # OpenRouter
        reasoning_tokens=reasoning,
        input_audio_tokens=number(read, "audio_tokens"),
        output_audio_tokens=number(written, "audio_tokens"),
        web_searches=_web_searches(body),
        model=text(body, "model"),
        service_tier=text(body, "service_tier"),
        response_id=text(body, "id"),
    )


def _usage_object(body: Json) -> Json:
    if usage := child(body, "usage"):
        return usage
    if usage := child(child(body, "x_groq"), "usage"):  # Groq's streams that were not asked for usage
        return usage
    for choice in objects(body, "choices"):
        if usage := child(choice, "usage"):  # Moonshot's last chunk
            return usage
    return {}


def _cached(usage: Json, details: Json) -> int:
    return (
        number(details, "cached_tokens")
        or number(usage, "prompt_cache_hit_tokens")  # DeepSeek
        or number(usage, "cached_tokens")  # Together, Moonshot
    )


def _web_searches(body: Json) -> int:
    """Searches that the Responses API made. Opening a page it found is an action too, but is not charged."""
    calls = (item for item in objects(body, "output") if item.get("type") == "web_search_call")
    return sum(1 for call in calls if child(call, "action").get("type", "search") == "search")


def is_failure(document: Json) -> bool:
    """True for an error, and for a response that has failed or is still being worked on."""
    if document.get("error") is not None:
        return True
    if document.get("object") == "error" or document.get("type") in ("error", "response.failed"):
        return True
    if document.get("object") == "response":
        return document.get("status") in ("failed", "cancelled", "queued", "in_progress")
    return any(choice.get("finish_reason") == "error" for choice in objects(document, "choices"))  # OpenRouter


def ends_stream(document: Json) -> bool:
    """True for the event that ends a stream of typed events."""
    return document.get("type") in _TERMINAL


def _never(_: Json) -> bool:
    return False


# `find` and not `in`: CPython first tries a bytes operand of `in` as an integer, and the exception inside costs more
# than the search.
def _chat_event_matters(event: bytes) -> bool:
    if event.find(b'"usage"') >= 0 and reports_usage(event):
        return True
    return event.find(b'"error"') >= 0 or (len(event) < _LONGEST_DONE and event.find(b"[DONE]") >= 0)


def _chat_events_may_matter(events: bytes) -> bool:
    if events.find(b'"usage"') >= 0 and events.count(b'"usage"') != events.count(b'"usage":null'):
        return True
    return events.find(b'"error"') >= 0 or events.find(b"[DONE]") >= 0


def _typed_event_matters(event: bytes) -> bool:
    return _ENDS_TYPED(event) is not None


CHAT_STREAM: Final = StreamShape(
    _chat_event_matters, read_document, _never, is_failure, end_data=b"[DONE]", may_matter=_chat_events_may_matter
)
TYPED_STREAM: Final = StreamShape(
    _typed_event_matters, read_document, ends_stream, is_failure, may_matter=_typed_event_matters
)
