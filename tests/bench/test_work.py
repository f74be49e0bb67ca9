"""Requests, orders and answers agree."""

import json
from collections import Counter

import pytest

from bench.mixed import kind_of
from bench.work import ANSWER_BYTES, Order, Requests, answer, event, last_events, order_of


def body_of(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head
    return body


def test_order_reaches_the_upstream() -> None:
    body = body_of(Requests(delay_ms=20, events=200, interval_us=50_000).make(12))
    assert order_of(body) == Order(12, 20, 200, 50_000)


def test_order_can_ask_for_a_larger_answer() -> None:
    body = body_of(Requests(answer_bytes=102_400).make(12))
    assert order_of(body) == Order(12, answer_bytes=102_400)


def test_contestants_own_headers_are_sent_along() -> None:
    assert b"\r\nx-provider: 100% openai\r\nContent-Length" in Requests(headers=b"x-provider: 100% openai\r\n").make(1)


def test_usage_is_asked_for_by_whoever_adds_it() -> None:
    body = body_of(Requests(events=1).make(1))
    assert order_of(
        body.replace(b'"stream":true', b'"stream":true,"stream_options":{"include_usage":true}')
    ).wants_usage


def test_body_without_an_order_gets_a_plain_answer() -> None:
    assert order_of(b"{}") == Order()


@pytest.mark.parametrize("events", [0, 5])
def test_request_is_json_and_asks_to_stream_only_for_events(events: int) -> None:
    asked = json.loads(body_of(Requests(events=events).make(3)))
    assert (asked.get("stream", False), asked["temperature"]) == (events > 0, 0)


@pytest.mark.parametrize("size", [ANSWER_BYTES, 10_240, 102_400])
def test_answer_is_json_of_the_promised_length_and_names_its_call(size: int) -> None:
    assert len(answer(42, size)) == size
    assert json.loads(answer(42, size))["id"] == "chatcmpl-000000000042"


def test_events_are_json() -> None:
    texts = [event(0, 1, wants_usage=True), *last_events(1, wants_usage=True).split(b"\n\n")[:1]]
    parsed = [json.loads(text.removeprefix(b"data: ")) for text in texts]
    assert [item["usage"] and item["usage"]["completion_tokens"] for item in parsed] == [None, 1]


def test_every_hundred_calls_have_the_promised_mixture() -> None:
    counted = Counter(kind_of(number) for number in range(700, 800))
    assert counted == {"hit": 60, "miss": 30, "stream": 8, "disconnect": 2}
