"""What OpenAI-shaped answers report, whole and in pieces."""

import json

import pytest

from proxy.exchange.provider import UsageReader
from proxy.exchange.usage import Usage
from proxy.providers.openai_usage import CHAT_STREAM, TYPED_STREAM, is_failure, read_document
from proxy.providers.readers import LIMIT_BYTES, JsonUsageReader, OpaqueReader, SseUsageReader

type Document = dict[str, object]


def feed(reader: UsageReader, raw: bytes, size: int = 1 << 30) -> UsageReader:
    for start in range(0, len(raw), size):
        reader.feed(raw[start : start + size])
    return reader


def of_json(document: object) -> UsageReader:
    return feed(JsonUsageReader(read_document, is_failure), json.dumps(document).encode())


def chunk(**members: object) -> bytes:
    return b"data: " + json.dumps({"id": "c1", "model": "m-2", **members}).encode() + b"\n\n"


DELTA = chunk(choices=[{"index": 0, "delta": {"content": 'say "usage": {"prompt_tokens": 5} [DONE'}}], usage=None)
LAST = chunk(choices=[], usage={"prompt_tokens": 11, "completion_tokens": 4}, service_tier="flex")
DONE = b"data: [DONE]\n\n"
EXPECTED = Usage(11, 4, model="m-2", service_tier="flex", response_id="c1")

CHAT_ANSWERS = [
    pytest.param(
        {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        | {"prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 3}}
        | {"completion_tokens_details": {"reasoning_tokens": 8, "audio_tokens": 2}},
        Usage(100, 20, 64, 0, 0, 8, 3, 2),
        id="openai",
    ),
    pytest.param(
        {"prompt_tokens": 11, "completion_tokens": 5, "prompt_cache_hit_tokens": 10, "prompt_cache_miss_tokens": 1},
        Usage(11, 5, cache_read_tokens=10),
        id="deepseek",
    ),
    pytest.param(
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 35}
        | {"completion_tokens_details": {"reasoning_tokens": 20}},
        Usage(10, 25, reasoning_tokens=20),
        id="xai counts reasoning apart",
    ),
    pytest.param(
        {"prompt_tokens": 10, "completion_tokens": 25, "total_tokens": 35}
        | {"completion_tokens_details": {"reasoning_tokens": 20}},
        Usage(10, 25, reasoning_tokens=20),
        id="reasoning is part of the completion",
    ),
    pytest.param({"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 8}, Usage(9, 1, 8), id="together"),
    pytest.param(
        {"prompt_tokens": 9, "completion_tokens": 1, "cost": 0.01, "prompt_tokens_details": {"cache_write_tokens": 7}},
        Usage(9, 1, cache_write_tokens=7),
        id="openrouter",
    ),
    pytest.param({"total_tokens": 17}, Usage(17), id="rerankers"),
    pytest.param(
        {"prompt_tokens": 7, "completion_tokens": 0, "prompt_tokens_details": None}, Usage(7), id="null details"
    ),
    pytest.param(
        {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "input_token_details": {"audio_tokens": 14}},
        Usage(14, 45, input_audio_tokens=14),
        id="transcription",
    ),
    pytest.param({"type": "duration", "seconds": 9}, None, id="minutes are not tokens"),
    pytest.param(None, None, id="null"),
    pytest.param({}, None, id="empty"),
    pytest.param("many", None, id="not an object"),
    pytest.param({"prompt_tokens": "7", "completion_tokens": -1}, None, id="not counts"),
]


@pytest.mark.parametrize(("usage", "expected"), CHAT_ANSWERS)
def test_usage_of_an_answer(usage: object, expected: Usage | None) -> None:
    reader = of_json({"choices": [{"finish_reason": "stop"}], "usage": usage})
    assert reader.usage() == expected
    assert reader.is_complete()


def test_model_tier_and_id_are_as_answered() -> None:
    answer = {"id": "r", "model": "gpt-x-2026", "service_tier": "priority", "usage": {"prompt_tokens": 1}}
    assert of_json(answer).usage() == Usage(1, model="gpt-x-2026", service_tier="priority", response_id="r")


def test_searches_are_counted_and_opened_pages_are_not() -> None:
    actions: list[Document] = [{"type": "search"}, {"type": "open_page"}, {"type": "find_in_page"}]
    output = [{"type": "web_search_call", "action": action} for action in actions]
    answer = {"object": "response", "output": [*output, {"type": "web_search_call"}, {"type": "message"}]}
    usage = of_json({**answer, "status": "completed", "usage": {"input_tokens": 5, "output_tokens": 6}}).usage()
    assert usage == Usage(5, 6, web_searches=2)


@pytest.mark.parametrize(
    "document",
    [
        {"error": {"message": "no"}},
        {"error": "no"},
        {"object": "error", "message": "no"},
        {"type": "error", "message": "no"},
        {"object": "response", "status": "failed", "error": {"code": "server_error"}},
        {"object": "response", "status": "queued", "error": None},
        {"object": "response", "status": "in_progress"},
        {"choices": [{"finish_reason": "error", "message": {}}]},
    ],
)
def test_an_error_is_not_a_complete_answer(document: Document) -> None:
    assert not of_json(document).is_complete()


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_a_finished_response_is_complete(status: str) -> None:
    assert of_json({"object": "response", "status": status, "error": None}).is_complete()


@pytest.mark.parametrize("raw", [b"", b"{", b'{"usage":{"prompt_tokens":1}', b"[]", b"1", b'{"a":1}{', b"\xff\x00"])
def test_anything_but_one_whole_object_is_incomplete(raw: bytes) -> None:
    reader = feed(JsonUsageReader(read_document, is_failure), raw)
    assert not reader.is_complete()
    assert reader.usage() is None


def test_a_document_is_read_byte_by_byte_and_between_bytes() -> None:
    reader = JsonUsageReader(read_document, is_failure)
    raw = b'{"usage":{"prompt_tokens":1}} \n'
    for at in range(len(raw)):
        assert reader.is_complete() is (at > raw.index(b"}}") + 1)
        reader.feed(raw[at : at + 1])
    assert reader.usage() == Usage(1)


@pytest.mark.parametrize("size", [64 * 1024, 1 << 30])
def test_a_document_of_megabytes_is_still_counted_and_complete(size: int) -> None:
    data = [{"embedding": [0.25] * 1000} for _ in range(300)]
    raw = json.dumps({"data": data, "model": "e", "usage": {"prompt_tokens": 8, "total_tokens": 8}}).encode()
    assert len(raw) > LIMIT_BYTES
    reader = feed(JsonUsageReader(read_document, is_failure), raw, size)
    assert reader.is_complete()
    assert reader.usage() == Usage(8, model="e")
    cut = feed(JsonUsageReader(read_document, is_failure), raw[:-1], size)
    assert not cut.is_complete()
    assert cut.usage() is None


@pytest.mark.parametrize("size", [1, 7, 1 << 30])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_chat_stream_reports_and_ends(size: int, newline: bytes) -> None:
    raw = (b": OPENROUTER PROCESSING\n\n" + DELTA * 3 + LAST + DONE).replace(b"\n", newline)
    reader = feed(SseUsageReader(CHAT_STREAM), raw, size)
    assert reader.usage() == EXPECTED
    assert reader.is_complete()
    reader.feed(b"\n\n: trailing\n\nnonsense")
    assert reader.usage() == EXPECTED
    assert reader.is_complete()


def test_usage_on_a_chunk_with_choices_counts() -> None:
    last = chunk(choices=[{"delta": {}, "finish_reason": "stop"}], usage={"prompt_tokens": 11, "completion_tokens": 4})
    reader = feed(SseUsageReader(CHAT_STREAM), DELTA + last + DONE)
    assert reader.usage() == Usage(11, 4, model="m-2", response_id="c1")


def test_running_counts_replace_each_other() -> None:
    counts = [chunk(choices=[{}], usage={"prompt_tokens": 11, "completion_tokens": n}) for n in range(1, 4)]
    reader = feed(SseUsageReader(CHAT_STREAM), b"".join(counts) + DELTA)
    assert reader.usage() == Usage(11, 3, model="m-2", response_id="c1")
    assert not reader.is_complete()


@pytest.mark.parametrize(
    "members",
    [
        {"choices": [], "x_groq": {"id": "q", "usage": {"prompt_tokens": 3, "completion_tokens": 2}}},
        {"choices": [{"usage": {"prompt_tokens": 3, "completion_tokens": 2}}]},
        {"choices": [], "usage": None, "x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}},
    ],
)
def test_usage_in_other_places(members: Document) -> None:
    reader = feed(SseUsageReader(CHAT_STREAM), DELTA + chunk(**members) + DONE)
    assert reader.usage() == Usage(3, 2, model="m-2", response_id="c1")


def test_a_truncated_stream_is_incomplete_and_unreported() -> None:
    reader = feed(SseUsageReader(CHAT_STREAM), DELTA * 2 + b"data: [DON")
    assert not reader.is_complete()
    assert reader.usage() is None


@pytest.mark.parametrize(
    "error",
    [
        b'data: {"error": {"message": "overloaded"}}\n\n',
        b'data: {"object": "error", "message": "no"}\n\n',
        b'event: error\ndata: {"type": "error", "message": "no"}\n\n',
        b'data: {"choices": [{"finish_reason": "error"}]}\n\n',
    ],
)
def test_an_error_in_a_stream_spoils_it(error: bytes) -> None:
    assert not feed(SseUsageReader(CHAT_STREAM), DELTA + error + DONE).is_complete()


def test_a_null_error_is_none() -> None:
    assert feed(SseUsageReader(CHAT_STREAM), chunk(choices=[], error=None) + DONE).is_complete()


def typed(kind: str, **members: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


RESPONSE: Document = {"object": "response", "id": "r1", "model": "m-2", "service_tier": "flex", "error": None}
COUNTS: Document = {
    "input_tokens": 11,
    "output_tokens": 4,
    "total_tokens": 15,
    "input_tokens_details": {"cached_tokens": 10},
    "output_tokens_details": {"reasoning_tokens": 3},
}
BEGUN = typed("response.created", response={**RESPONSE, "status": "in_progress", "usage": None})
TEXT = typed("response.output_text.delta", delta='{"usage": "response.completed"}')


@pytest.mark.parametrize("kind", ["completed", "incomplete"])
@pytest.mark.parametrize("size", [1, 1 << 30])
def test_a_responses_stream_ends_with_its_terminal_event(kind: str, size: int) -> None:
    last = typed(f"response.{kind}", response={**RESPONSE, "status": kind, "usage": COUNTS})
    reader = feed(SseUsageReader(TYPED_STREAM), BEGUN + TEXT, size)
    assert not reader.is_complete()
    assert reader.usage() is None
    feed(reader, last, size)
    assert reader.is_complete()
    assert reader.usage() == Usage(
        11, 4, cache_read_tokens=10, reasoning_tokens=3, model="m-2", service_tier="flex", response_id="r1"
    )


def test_a_failed_response_is_incomplete_though_it_reports() -> None:
    failed = {**RESPONSE, "status": "failed", "error": {"code": "server_error"}, "usage": COUNTS}
    reader = feed(SseUsageReader(TYPED_STREAM), BEGUN + TEXT + typed("response.failed", response=failed))
    assert not reader.is_complete()
    usage = reader.usage()
    assert usage is not None
    assert usage.input_tokens == 11


@pytest.mark.parametrize(
    "kind", ["image_generation.completed", "image_edit.completed", "speech.audio.done", "transcript.text.done"]
)
def test_other_streams_report_at_the_top(kind: str) -> None:
    part = typed(kind.rpartition(".")[0] + ".delta", delta="AAAA")
    reader = feed(SseUsageReader(TYPED_STREAM), part * 3 + typed(kind, usage={"input_tokens": 5, "output_tokens": 9}))
    assert reader.is_complete()
    assert reader.usage() == Usage(5, 9)


def test_a_transcript_without_usage_still_ends() -> None:
    reader = feed(SseUsageReader(TYPED_STREAM), typed("transcript.text.done", text="hello"))
    assert reader.is_complete()
    assert reader.usage() is None


def test_an_endless_event_ends_the_search() -> None:
    reader = feed(SseUsageReader(CHAT_STREAM), LAST + b"data: " + b"x" * (2 * LIMIT_BYTES), 65_536)
    feed(reader, b"\n\n" + LAST + DONE)
    assert reader.usage() is None
    assert not reader.is_complete()


def test_many_events_at_once_are_no_endless_event() -> None:
    raw = DELTA * (2 * LIMIT_BYTES // len(DELTA)) + LAST
    reader = feed(SseUsageReader(CHAT_STREAM), raw)
    feed(reader, DONE)
    assert reader.usage() == EXPECTED
    assert reader.is_complete()


def test_bytes_without_shape_are_complete_once_there_are_any() -> None:
    reader = OpaqueReader()
    assert not reader.is_complete()
    reader.feed(b"ID3")
    assert reader.is_complete()
    assert reader.usage() is None


@pytest.mark.parametrize(
    "pieces",
    [
        (DELTA, DELTA + DELTA + LAST + DELTA, DONE),
        (DELTA, DELTA + DELTA, LAST + DONE),
        (DELTA, DELTA, DELTA + LAST, DELTA + DONE),
        (DELTA, DELTA + LAST[:9], LAST[9:] + DELTA, b"\r\n" + DELTA, DONE),
    ],
)
def test_what_matters_is_found_among_events_that_come_together(pieces: tuple[bytes, ...]) -> None:
    reader = SseUsageReader(CHAT_STREAM)
    for piece in pieces:
        reader.feed(piece)
    assert reader.usage() == EXPECTED
    assert reader.is_complete()


def test_an_error_among_events_that_come_together_is_a_failure() -> None:
    reader = SseUsageReader(CHAT_STREAM)
    for piece in (DELTA, DELTA + b'data: {"error":{"message":"overloaded"}}\n\n' + DELTA, DONE):
        reader.feed(piece)
    assert not reader.is_complete()
