"""What the guards take for the same, and what they never do. The labelled pairs say more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.semantic.guards import MOST_CHARACTERS, are_alike_in_length, facts
from tests.semantic.labelled import guards_let_pass


@pytest.mark.parametrize("text", ["", "   ", "?", "please", "Thanks!", "a" * (MOST_CHARACTERS + 1), "a\x1fb"])
def test_texts_without_anything_to_compare_have_no_facts(text: str) -> None:
    assert facts(text) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Wait until 7 p.m.", "Wait until 7 PM"),
        ("the 3rd step", "The 3rd step."),
        ("Is it 5 pm?", "is it 5pm?"),
        ("Would you please explain it?", "Would you explain it?"),
        ("Do you know if penguins fly?", "Tell me whether penguins fly."),
        ("First line\n\nSecond line", "First line. Second line"),
        ("Why, exactly?", "why exactly?"),
        ("We'll see what they've done", "we will see what they have done"),
        ("Hello!", "hello"),
    ],
)
def test_the_same_in_other_words(one: str, other: str) -> None:
    assert guards_let_pass(one, other) or facts(one) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("WHAT IS LOVE", "what is love"),  # all in capitals: names and acronyms cannot be told
        ("one\ntwo", "one two"),
        ("5 M", "5 m"),
        ("A B", "a b"),
        ("O'Brien's house", "OBrien's house"),
        ("vitamin A", "vitamin a"),
        ("up - down", "up down"),
        ("so 1.000 it is", "so 1000 it is"),
        ("a (b) c ++", "a (b) c --"),
        ("eat!", "eat?"),
        ("`a`", "a"),
        ('"a b"', "a b"),
        ("``` x ```", "``` y ```"),
        ("😀", "😢"),
    ],
)
def test_what_is_not_known_not_to_matter_counts(one: str, other: str) -> None:
    assert not guards_let_pass(one, other)


def test_a_much_longer_text_is_not_alike() -> None:
    assert are_alike_in_length(3, 80)
    assert are_alike_in_length(100, 300)
    assert not are_alike_in_length(301, 100)


SAID = """not never france spain increase decrease 5 6 dollars euros before after who when Paris 'x' `y` = to from"""
WORDS = st.sampled_from(SAID.split())


@given(st.lists(WORDS, min_size=1, max_size=6), st.integers(0, 5), WORDS)
def test_a_word_that_is_changed_is_noticed(words: list[str], at: int, word: str) -> None:
    at %= len(words)
    before, after = " ".join(words), " ".join([*words[:at], word, *words[at + 1 :]])
    assert guards_let_pass(before, after) == (words[at] == word)


@given(st.text(max_size=60))
def test_any_text_has_facts_or_none_and_they_do_not_change(text: str) -> None:
    found = facts(text)
    assert found == facts(text)
    assert found is None or isinstance(found.packed(), bytes)


@given(st.text(alphabet="ab12 .,?'-=\n`\"", max_size=20), st.text(alphabet="ab12 .,?'-=\n`\"", max_size=20))
def test_equal_in_one_string_means_equal(one: str, other: str) -> None:
    first, second = facts(one), facts(other)
    if first is not None and second is not None:
        assert (first == second) == (first.packed() == second.packed())
