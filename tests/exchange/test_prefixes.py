"""What is shared with earlier prompts, held against a naive comparison; and what counts as a break."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange import prefixes
from proxy.exchange.prefixes import (
    LONG_WINDOW_S,
    MOST_GROUPS,
    MOST_PIECES,
    MOST_PROMPTS,
    WINDOW_S,
    Finding,
    PrefixMemory,
    Prompt,
    prompt_of,
)
from proxy.exchange.prompt import LONGEST_PIECE, parts_of
from proxy.exchange.provider import Json

GROUP = ("key", "openai", "m", "chat")
RULES = "".join(f"Rule {number}: never do thing number {number * 7}. " for number in range(120))
DOCUMENT = "".join(f"Line {number} of the document\n" for number in range(200))


def common_beginning[T](one: Sequence[T], other: Sequence[T]) -> Sequence[T]:
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    return one[:length]


def turn(content: str, role: str = "user") -> Json:
    return {"role": role, "content": content}


def prompt(system: str = "", *turns: Json, tools: list[Json] | None = None, lasts_s: float = WINDOW_S) -> Prompt:
    before = [turn(system, "system")] if system else []
    return prompt_of(parts_of({"tools": tools, "messages": [*before, *turns]}, is_marked=False), lasts_s=lasts_s)


def after(*earlier: Prompt, then: Prompt, age_s: float = 1.0) -> Finding:
    memory = PrefixMemory()
    for number, each in enumerate(earlier):
        memory.find(GROUP, each, number)
        memory.keep(GROUP, each, number)
    return memory.find(GROUP, then, len(earlier) - 1 + age_s)


LETTERS = st.text(st.sampled_from("ab .\n"), max_size=1_500)


@given(common=LETTERS, one=LETTERS, other=LETTERS)
def test_the_shared_beginning_of_two_texts_is_the_naive_one_to_within_a_piece(
    common: str, one: str, other: str
) -> None:
    first, second = "x" * 600 + common + one, "x" * 600 + common + other
    found = after(prompt("", turn(first)), then=prompt("", turn(second)))
    naive = len(common_beginning(first, second))
    assert naive - LONGEST_PIECE <= found.shared <= naive


@given(
    st.lists(st.sampled_from(["a", "b" * 10, "c" * 700]), max_size=6),
    st.lists(st.sampled_from(["a", "b" * 10, "c" * 700]), max_size=6),
)
def test_the_shared_turns_are_the_naive_ones(one: list[str], other: list[str]) -> None:
    found = after(prompt("", *map(turn, one)), then=prompt("", *map(turn, other)))
    assert found.shared == sum(map(len, common_beginning(one, other)))
    assert found.size == sum(map(len, other))
    assert found.shared <= found.whole <= found.size
    assert bool(found.kind) == (found.whole > found.shared)


def test_the_first_of_its_kind_shares_nothing() -> None:
    assert after(then=prompt(RULES, turn("hi"))) == Finding(len(RULES) + 2)


def test_a_conversation_that_goes_on_has_no_break() -> None:
    earlier = prompt(RULES, turn("hi"))
    found = after(earlier, then=prompt(RULES, turn("hi"), turn("hello", "assistant"), turn("bye")))
    assert (found.shared, found.kind) == (len(RULES) + 2, "")


def test_a_time_in_the_system_prompt_is_a_break() -> None:
    one = prompt(f"You are helpful. It is 12:00:01.\n{RULES}", turn("first question"))
    other = prompt(f"You are helpful. It is 12:00:59 PM.\n{RULES}", turn("second question"))
    found = after(one, then=other)
    assert (found.kind, found.at, found.shared) == ("system", 17 - 1, 17 - 1)
    assert found.of == len(RULES) + len("You are helpful. It is 12:00:59 PM.\n")
    assert found.of - 25 <= found.whole <= found.of


def test_what_is_behind_a_break_counts_up_to_the_next() -> None:
    tools = [{"name": "a", "description": "x" * 300}, {"name": "b", "description": "y" * 3_000}]
    found = after(
        prompt(RULES, turn(DOCUMENT), turn("q"), tools=tools),
        then=prompt(RULES, turn(DOCUMENT), turn("r"), tools=tools[::-1]),
    )
    assert (found.kind, found.shared, found.at) == ("tools", 0, 0)
    assert found.whole == found.size - 1


def test_a_dropped_turn_is_a_break() -> None:
    turns = [turn(f"turn {number} " + "word " * 300) for number in range(5)]
    found = after(prompt(RULES, *turns), then=prompt(RULES, *turns[1:], turn("new")))
    assert (found.kind, found.shared) == ("first_message", len(RULES))
    assert found.whole == found.size - 3


def test_a_question_in_front_of_the_same_document_is_a_break() -> None:
    found = after(prompt("", turn(f"Who?\n{DOCUMENT}")), then=prompt("", turn(f"Where to?\n{DOCUMENT}")))
    assert (found.kind, found.at, found.shared) == ("first_message", 0, 0)
    assert found.whole == len(DOCUMENT)


def test_another_prompt_is_no_break() -> None:
    other = "".join(f"Quite another sentence, {number}. " for number in range(150))
    found = after(prompt(RULES, turn("hi")), then=prompt(other, turn("bye")))
    assert (found.shared, found.whole, found.kind) == (0, 0, "")


def test_the_best_of_several_earlier_prompts_counts() -> None:
    other = "".join(f"Quite another sentence, {number}. " for number in range(150))
    found = after(prompt(f"1.\n{RULES}"), prompt(other), then=prompt(f"2.\n{RULES}", turn("hi")))
    assert found.kind == "system"
    assert after(prompt(RULES), prompt(other), then=prompt(RULES, turn("hi"))).shared == len(RULES)


def test_what_was_sent_too_long_ago_has_expired() -> None:
    found = after(prompt(RULES), then=prompt(RULES, turn("hi")), age_s=WINDOW_S + 1)
    assert (found.shared, found.expired, found.whole) == (0, len(RULES), 0)


def test_who_asks_for_an_hour_gets_an_hour() -> None:
    found = after(prompt(RULES, lasts_s=LONG_WINDOW_S), then=prompt(RULES, turn("hi")), age_s=WINDOW_S + 1)
    assert (found.shared, found.expired) == (len(RULES), 0)


def test_after_an_hour_all_is_forgotten() -> None:
    found = after(prompt(RULES), then=prompt(RULES, turn("hi")), age_s=LONG_WINDOW_S + 1)
    assert (found.shared, found.expired) == (0, 0)


def test_groups_share_nothing() -> None:
    memory = PrefixMemory()
    memory.keep(GROUP, prompt(RULES), 0)
    assert memory.find(("other", *GROUP[1:]), prompt(RULES, turn("hi")), 0).shared == 0


def test_groups_prompts_and_pieces_are_bounded() -> None:
    memory = PrefixMemory()
    for number in range(MOST_GROUPS + 3):
        for each in range(MOST_PROMPTS + 3):
            memory.keep((str(number),), prompt(f"{each}"), 0)
    assert len(memory._groups) == MOST_GROUPS
    assert {len(prompts) for prompts in memory._groups.values()} == {MOST_PROMPTS}
    big = prompt("", *[turn(f"{number} " + "a.b" * 400) for number in range(20)])
    memory.find(GROUP, big, 0)
    assert sum(len(each.digests) for each in big.pieces.values()) <= MOST_PIECES
    assert not big.texts


def test_what_goes_on_takes_the_place_of_what_it_goes_on_from() -> None:
    memory = PrefixMemory()
    memory.keep(GROUP, prompt(RULES), 0)
    memory.keep(GROUP, prompt(RULES, turn("hi")), 1)
    assert len(memory._groups[GROUP]) == 1


def test_no_text_is_kept() -> None:
    kept = prompt(RULES, turn(DOCUMENT))
    PrefixMemory().find(GROUP, kept, 0)
    assert "Rule" not in repr(kept)
    assert prefixes.prompt_of([], lasts_s=1).size == 0
