"""A prompt's parts: in the order in which providers read them, and the same however a client wrote the same thing."""

import orjson
import pytest

from proxy.exchange.prompt import LONG_TEXT, LONGEST_PIECE, MOST_PARTS, Part, is_marked, parts_of, pieces_of
from proxy.exchange.provider import Json

LONG = "All work and no play. " * 40


def parts(body: Json) -> list[Part]:
    return parts_of(body, is_marked=is_marked(orjson.dumps(body)))


def kinds(body: Json) -> list[str]:
    return [part.kind for part in parts(body)]


def turn(content: object, role: str = "user") -> Json:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {
                "messages": [turn("be brief", "system"), turn("hi"), turn("hello", "assistant"), turn("bye")],
                "response_format": {"type": "json_object"},
                "tools": [{"type": "function"}, {"type": "custom"}],
            },
            ["tools", "tools", "parameters", "system", "first_message", "message", "message"],
        ),
        (
            {
                "messages": [turn("hi"), turn("be brief", "system")],
                "system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                "tool_choice": {"type": "auto"},
            },
            ["system", "system", "parameters", "first_message", "message"],
        ),
        ({"input": "hi", "instructions": "be brief"}, ["system", "first_message"]),
        ({"contents": [{"parts": [{"text": "hi"}]}], "systemInstruction": {"parts": []}}, ["system", "first_message"]),
        ({"toolConfig": {"tools": []}, "messages": [turn("a", "developer"), turn("b")]},
         ["tools", "system", "first_message"]),
        ({"prompt": "once"}, ["first_message"]),
        ({"messages": [turn("be brief", "system")]}, ["system"]),
        ({"messages": 5}, ["first_message"]),
        ({}, []),
    ],
)  # fmt: skip
def test_parts_come_in_the_order_in_which_providers_read_them(body: Json, expected: list[str]) -> None:
    assert kinds(body) == expected


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": LONG}],
        [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}],
        [{"text": LONG}, {"cachePoint": {"type": "default"}}],
    ],
)
def test_one_text_is_the_same_in_all_its_forms(content: object) -> None:
    assert parts({"messages": [turn(content)]}) == parts({"messages": [turn(LONG)]})


def test_a_mark_that_moves_on_changes_nothing() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    image = {"type": "image", "source": {"data": "aaaa"}}
    tool = {"name": "look"}
    one = {"messages": [turn([image, {"type": "text", "text": "x", **mark}])], "tools": [{**tool, **mark}]}
    other = {"messages": [turn([{**image, **mark}, {"type": "text", "text": "x"}])], "tools": [tool]}
    assert parts(one) == parts(other)


def test_who_says_it_counts() -> None:
    first, second = (parts({"messages": [turn("hi", role)]}) for role in ("user", "assistant"))
    assert first != second


def test_gemini_s_turns_are_texts_too() -> None:
    (part,) = parts({"contents": [{"role": "user", "parts": [{"text": LONG}]}]})
    assert (part.text, part.size) == (LONG, len(LONG))


def test_short_texts_are_not_looked_into() -> None:
    assert not parts({"prompt": "x" * (LONG_TEXT - 1)})[0].text
    assert parts({"prompt": "x" * LONG_TEXT})[0].text


def test_no_text_is_shown() -> None:
    assert "play" not in repr(parts({"prompt": LONG}))


def test_parts_and_pieces_are_bounded() -> None:
    assert len(parts({"messages": [turn("x")] * (MOST_PARTS + 5)})) == MOST_PARTS
    pieces = pieces_of("A b. " * 100, 7)
    assert len(pieces.digests) == len(pieces.lengths) == 7
    assert max(pieces_of("x" * 5_000 + "." * 5_000, 1_000).lengths) <= LONGEST_PIECE


def test_pieces_make_up_the_text() -> None:
    assert sum(pieces_of(LONG, 1_000).lengths) == len(LONG)


def test_what_is_nested_too_deep_is_refused() -> None:
    deep: object = []
    for _ in range(400):
        deep = [deep]
    with pytest.raises(TypeError):
        parts_of({"tools": [deep]}, is_marked=False)
