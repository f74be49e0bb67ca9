"""What two texts must have in common before an answer to one may answer the other.

The rule is the fingerprint's: everything counts unless it is known not to matter. A text is brought into a form without
politeness, articles and the other words of tables.py; known ways of asking become one; what stands before the question
moves behind it. Whatever is left must be equal, and in the same order: numbers with their units, negations, names,
quotations, code, comparisons, kinds of question, and every word that nobody listed. A model of language comes after
that, and only ever says no. On its own it takes "is it safe" and "is it not safe" for nearly the same.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.semantic.numbers import spelt
from proxy.semantic.phrases import ABOUT_WORDS, CLOSINGS, INSIDE, OPENINGS, QUESTIONS
from proxy.semantic.tables import (
    ASKS_WHETHER,
    EMPTY,
    OPENINGS_WITHOUT_SPACES,
    PREPOSITIONS,
    QUESTION_WORDS,
    SAME,
    TELLTALE,
)
from proxy.semantic.tokens import tokens

MOST_CHARACTERS: Final = 2_000  # of a text that is looked at; longer ones rarely come twice in other words
LONGEST_RATIO: Final = 3.0  # between two texts

type Sentence = tuple[tuple[str, ...], ...]  # what it is about, then each phrase that a preposition begins

type _Phrases = Mapping[int, Mapping[tuple[str, ...], Sequence[str]]]  # by their lengths, longest first


def _by_length(phrases: Iterable[tuple[str, str]]) -> _Phrases:
    listed = [(tuple(said.split()), meant.split()) for said, meant in phrases]
    lengths = sorted({len(said) for said, _ in listed}, reverse=True)
    return {length: {said: meant for said, meant in listed if len(said) == length} for length in lengths}


_OPENINGS: Final = {name: _by_length((said, "") for said in listed) for name, listed in OPENINGS.items()}
_QUESTIONS: Final = {name: _by_length(listed) for name, listed in QUESTIONS.items()}
_INSIDE: Final = _by_length(INSIDE)
_CLOSINGS: Final = _by_length((said, "") for said in CLOSINGS)
_NONE: Final[_Phrases] = {}
_ENGLISH: Final = TELLTALE["en"].difference(*(words for name, words in TELLTALE.items() if name != "en"))
_MODALS: Final = frozenset({"can", "could", "would", "will"})
_REQUEST_WORDS: Final = (
    "explain tell give show help write summarize summarise translate list describe provide convert create generate "
    "make find suggest recommend fix check review define compare rewrite calculate compute name teach"
)
# Asked of an assistant these are requests; `can you swim` is none.
_REQUESTS: Final = frozenset(_REQUEST_WORDS.split())


@dataclass(frozen=True, slots=True)
class Facts:
    """The form of a text. Equal facts: nothing is known that sets the two texts apart."""

    language: str
    sentences: tuple[Sentence, ...]

    def packed(self) -> bytes:
        """In one string, for a digest; marks cannot stand in words."""
        said = "\x1d".join("\x1e".join("\x1f".join(part) for part in sentence) for sentence in self.sentences)
        return f"{self.language}\x1c{said}".encode("utf-8", "surrogatepass")


def facts(text: str) -> Facts | None:
    """None: too long, or with nothing in it to compare."""
    if not text or len(text) > MOST_CHARACTERS or any(mark in text for mark in "\x00\x1c\x1d\x1e\x1f"):
        return None
    for opening in OPENINGS_WITHOUT_SPACES:
        text = text.removeprefix(opening)
    row = tokens(text)
    language = _language(row)
    sentences = tuple(formed for sentence in _sentences(row) if (formed := _formed(sentence, language)))
    return Facts(language, sentences) if sentences else None


def are_alike_in_length(one: int, other: int) -> bool:
    """Of characters. Politeness adds words, but not three times as many, unless both are short."""
    return max(one, other) <= max(LONGEST_RATIO * min(one, other), 80)


def _language(row: Sequence[str]) -> str:
    """The one that has most telling words; none when two have as many. A few plain words are taken for English."""
    counts = sorted(((sum(word in telling for word in row), name) for name, telling in TELLTALE.items()), reverse=True)
    (most, name), (second, _) = counts[0], counts[1]
    if most == 0 and all(token.isascii() for token in row):
        return "en"
    if most == second and sum(token in TELLTALE["en"] for token in row) == most and not _ENGLISH.isdisjoint(row):
        return "en"
    return name if most > second else ""


def _sentences(row: Sequence[str]) -> list[list[str]]:
    """Each with its question mark, if it has one."""
    found: list[list[str]] = [[]]
    for word in row:
        if word == ".":
            found.append([])
        else:
            found[-1].append(word)
            if word == "?":
                found.append([])
    return [sentence for sentence in found if sentence]


def _formed(sentence: list[str], language: str) -> Sentence:
    words = _without_politeness([word for word in sentence if word != "?"], language)
    is_about_words = not ABOUT_WORDS.get(language, frozenset()).isdisjoint(words)
    is_told = sentence[-1] != "?"
    if language == "en":
        is_told = is_told or _shows_that_it_asks(words)
        words = _question(_without_request(words))
    words = _asked(words, language)
    if language == "en":  # again, for what has come to light
        words = _leading_question(_asked(_question(words), language))
    if not is_about_words:
        words = _plainer(words, language)
    if not is_told and words:
        words.insert(0, "?")  # `it works?` is not `it works`
    return _segments(words) if language == "en" else _as_it_is(words)


def _without_politeness(words: list[str], language: str) -> list[str]:
    while (opening := _found(_OPENINGS.get(language, _NONE), words, 0)) is not None:
        words = words[opening[0] :]
        while words[:1] == [","]:
            words = words[1:]
    if language != "en":
        return words
    for length in (3, 2, 1):
        is_apart = words[-length - 1 : -length] == [","] or words[-1:] == ["please"]
        if is_apart and tuple(words[-length:]) in _CLOSINGS.get(length, {}):
            return words[:-length]
    return words


def _plainer(words: list[str], language: str) -> list[str]:
    """Without empty words, and with one word for those that mean the same."""
    empty = EMPTY[language]
    if language != "en":
        return [word for word in words if word not in empty]
    words = spelt(_replaced(words, _INSIDE, lambda at: True))
    return [SAME.get(word, word) for word in words if word not in empty]


def _shows_that_it_asks(words: Sequence[str]) -> bool:
    return words[:1] == ["tell"] or any(word in QUESTION_WORDS for word in words) or bool(set(words[:1]) & ASKS_WHETHER)


def _without_request(words: list[str]) -> list[str]:
    """Without `could you` before a request, and without `for me` behind it."""
    said = [word for word in words[:4] if word != "please"]
    if len(said) > 2 and said[0] in _MODALS and said[1] == "you" and said[2] in _REQUESTS:
        words = words[words.index(said[2]) :]
    if words[:1] and words[0] in _REQUESTS:
        while words[-1] == ",":
            words = words[:-1]
        if words[-2:] == ["for", "me"]:
            words = words[:-2]
    return words


def _question(words: list[str]) -> list[str]:
    """Without `do you know` before a question; `tell me what X is` as `what is X`."""
    for lead in (["do", "you", "know"], ["do", "you", "happen", "to", "know"], ["tell", "me"]):
        size = len(lead)
        if words[:size] == lead and len(words) > size and words[size] in QUESTION_WORDS:
            words = words[size:]
            break
    if len(words) > 2 and words[0] in ("what", "who", "where") and words[-1] in ("is", "are", "was", "were"):
        return [words[0], words[-1], *words[1:-1]]
    return words


def _asked(words: list[str], language: str) -> list[str]:
    """With one way of asking for those that are the same."""
    begins_elsewhere = words[:1] and words[0] in PREPOSITIONS
    return _replaced(
        words,
        _QUESTIONS.get(language, _NONE),
        lambda at: at == 0 or words[at - 1] == "," or (bool(begins_elsewhere) and words[at] in QUESTION_WORDS),
    )


def _replaced(words: list[str], phrases: _Phrases, is_a_place: Callable[[int], bool]) -> list[str]:
    """With these phrases replaced, longest first, from left to right."""
    found: list[str] = []
    at = 0
    while at < len(words):
        known = _found(phrases, words, at) if is_a_place(at) else None
        if known is None:
            found.append(words[at])
            at += 1
        else:
            found += known[1]
            at += known[0]
    return found


def _found(phrases: _Phrases, words: Sequence[str], at: int) -> tuple[int, Sequence[str]] | None:
    """The longest that stands there: its length, and what it means."""
    for length, listed in phrases.items():
        meant = listed.get(tuple(words[at : at + length]))
        if meant is not None:
            return length, meant
    return None


def _leading_question(words: list[str]) -> list[str]:
    """A question for yes or no says so, and `what does X mean` is a definition."""
    if len(words) > 3 and words[:2] in (["what", "does"], ["what", "do"]) and words[-1] == "mean":
        return ["define", *words[2:-1]]
    if words and words[0] in ASKS_WHETHER:
        kept = [] if words[0] in ("is", "are", "am", "do", "does") else [words[0]]
        return ["whether", *kept, *words[1:]]
    return words


def _segments(words: Sequence[str]) -> Sentence:
    """What the sentence is about, and the phrases behind it. One that stands before the rest goes last, and the owner
    in `X's Y` becomes `Y of X`."""
    main: list[str] = []
    behind: list[list[str]] = []
    leading: list[list[str]] = []
    current = main
    for word in words:
        if word == ",":
            current = current if main else main
        elif word in QUESTION_WORDS and not main:
            current = main
            main.append(word)
        elif word in PREPOSITIONS:
            current = [word]
            (behind if main else leading).append(current)
        elif word.endswith("'s") and word[0] not in '#="`':
            behind.append(["of", word[:-2]])
            current = current if main else main
        else:
            current.append(word)
    return tuple(tuple(part) for part in (main, *behind, *leading)) if main or behind or leading else ()


def _as_it_is(words: Sequence[str]) -> Sentence:
    """Of a language whose order of words is not known here."""
    kept = tuple(word for word in words if word != ",")
    return (kept,) if kept else ()
