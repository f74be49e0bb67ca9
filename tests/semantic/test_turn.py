"""Which requests have a text that may be compared, and what is left of them without it."""

import orjson
import pytest

from proxy.semantic.turn import Turn, last_turn


def turn_of(body: object) -> Turn | None:
    raw = orjson.dumps(body)
    return last_turn(raw, orjson.loads(raw))


PLAIN = [
    {"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "why?"}]},
    {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "why?"}]}], "stream": True},
    {"messages": [{"role": "user", "content": [{"text": "why?"}]}], "inferenceConfig": {"temperature": 0}},
    {"model": "m", "input": "why?"},
    {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "why?"}]}]},
    {"contents": [{"parts": [{"text": "why?"}]}]},
    {"contents": [{"role": "model", "parts": [{"text": "hm"}]}, {"role": "user", "parts": [{"text": "why?"}]}]},
]


@pytest.mark.parametrize("body", PLAIN)
def test_the_last_users_text_is_found(body: object) -> None:
    turn = turn_of(body)
    assert turn is not None
    assert turn.text == "why?"
    assert b"why?" not in turn.rest


@pytest.mark.parametrize("body", PLAIN)
def test_only_that_text_may_differ(body: object) -> None:
    turn = turn_of(body)
    other = orjson.loads(orjson.dumps(body).replace(b"why?", b"where to?"))
    changed = orjson.loads(orjson.dumps(body).replace(b"why?", b"where to?")) | {"top_k": 3}
    one, two = turn_of(other), turn_of(changed)
    assert turn is not None
    assert one is not None
    assert two is not None
    assert one.rest == turn.rest != two.rest


def test_two_ways_of_writing_a_text_are_two_requests() -> None:
    assert len({turn.rest for body in PLAIN if (turn := turn_of(body)) is not None}) == len(PLAIN)


IMAGE = {"type": "image_url", "image_url": {"url": "data:"}}


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m"},
        {"prompt": "why?"},
        {"messages": []},
        {"messages": {"role": "user"}},
        {"messages": ["why?"]},
        {"messages": [{"role": "assistant", "content": "why?"}]},
        {"messages": [{"role": "tool", "content": "why?"}]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "user", "content": []}]},
        {"messages": [{"role": "user", "content": [IMAGE]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "why?"}, IMAGE]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "why?", "cache_control": {}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "text": "why?"}]}]},
        {"messages": [{"role": "user", "content": "why?"}], "input": "why?"},
        {"input": ["why?", "where?"]},
        {"input": 5},
    ],
)
def test_anything_else_is_left_alone(body: object) -> None:
    assert turn_of(body) is None


@pytest.mark.parametrize(
    "raw",
    [
        b'{"messages":[{"role":"user","content":"why?"}],"seed":123456789012345678901234567890}',
        b'{"messages":[{"role":"user","content":"why?"}],"model":"a","model":"b"}',
    ],
)
def test_a_body_that_can_be_read_in_two_ways_is_left_alone(raw: bytes) -> None:
    assert last_turn(raw, orjson.loads(raw)) is None
    assert last_turn(raw, None) is None


def test_a_text_is_not_shown() -> None:
    turn = turn_of(PLAIN[0])
    assert "why?" not in repr(turn)
