"""A text as a row of tokens: words in lower case, and what counts letter for letter, marked by its first character.

`#` a number, `=` whatever is no plain word (identifiers, addresses, paths, operators, acronyms), `"` a quotation, a
backtick code, `.` the end of a sentence, `,` a comma, `?` a question mark at a sentence's end. Nothing but white space,
brackets around words and other punctuation is dropped.
"""

import re
import unicodedata
from typing import Final

from proxy.semantic.numbers import number
from proxy.semantic.tables import COMMON_ACRONYMS, CONTRACTIONS, ENDINGS, TWO_FACED, UNITS

_STRAIGHT: Final = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "\u00a0": " "})
_PIECE: Final = re.compile(
    r"(?P<code>```.*?```|`[^`\n]+`)"
    r'|(?P<quote>"[^"\n]{1,200}"|(?<![\w\'])\'[^\'\n]{2,200}\'(?!\w))'
    r"|(?P<line>\n\s*)"
    r"|(?P<chunk>[^\s`]+|`)",
    re.DOTALL,
)
_WORD: Final = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*'?")
_DASHES: Final = frozenset({"-", "–", "—"})
_WIDE: Final = str.maketrans({"，": ",", "。": ".", "？": "?", "！": "!", "；": ";", "：": ":", "、": ","})


def tokens(text: str) -> list[str]:
    """The whole row. Pure; linear in the text's length."""
    text = unicodedata.normalize("NFC", text).translate(_STRAIGHT).translate(_WIDE).strip()
    shouts = not any(character.islower() for character in text)  # no telling acronyms from words
    found: list[str] = []
    for piece in _PIECE.finditer(text):
        kind, content = piece.lastgroup, piece.group()
        if kind == "code":
            found.append("`" + content)
        elif kind == "quote":
            found.append('"' + content[1:-1])
        elif kind == "line":
            found += ["."] if content.count("\n") > 1 else [".", "=\\n"]
        else:
            found += _chunk(content, before=found[-1] if found else ".", shouts=shouts)
    return found


def _chunk(chunk: str, *, before: str, shouts: bool) -> list[str]:
    """What stands between two spaces, with the punctuation around it."""
    inner = chunk.lstrip("([{\"'¿¡")
    ending = ""
    while inner and inner[-1] in ".,;:!?…)]}\"'" and not _is_abbreviation(inner):
        ending = inner[-1] + ending
        inner = inner[:-1]
    if not inner:
        return [] if all(mark in "([{\"'.,;:!?…)]}¿¡" for mark in chunk) and len(chunk) < 2 else ["=" + chunk]
    if inner in _DASHES:
        return ["=-"]
    return [*_inner(inner, before=before, shouts=shouts), *_ended(ending)]


def _is_abbreviation(text: str) -> bool:
    return text.lower() in ("a.m.", "p.m.", "e.g.", "i.e.")


def _ended(ending: str) -> list[str]:
    if "?" in ending:
        return ["?"]
    if "!" in ending or ending.rstrip(")]}\"'").endswith("."):
        return ["."]
    return [","] if "," in ending or ";" in ending else []


def _inner(text: str, *, before: str, shouts: bool) -> list[str]:
    if (counted := number(text)) is not None:
        return counted
    if before[0] == "#" and len(text) <= 3 and text[0].isupper():
        return [UNITS.get(text) or "=" + text]  # Mb are not MB
    if text in COMMON_ACRONYMS and not shouts:
        return [text.lower()]
    if shouts and len(text) > 1:
        return ["=" + text]
    begins = before in (".", "?")
    if begins and text == "A":
        return ["a"]
    if not _WORD.fullmatch(text) or _is_literal(text) or (not begins and text[0].isupper() and _is_two_faced(text)):
        return ["=" + text]
    return _words(text.lower())


def _is_two_faced(text: str) -> bool:
    return text.lower() in TWO_FACED


def _is_literal(text: str) -> bool:
    """An acronym, or capitals inside: `US`, `useState`. A single capital, too, but for I."""
    if len(text) == 1:
        return text.isupper() and text != "I"
    return any(part[1:] != part[1:].lower() for part in text.split("-"))


def _words(word: str) -> list[str]:
    if (long := CONTRACTIONS.get(word)) is not None:
        return long.split()
    for ending, meaning in ENDINGS:
        if word.endswith(ending) and len(word) > len(ending):
            return [word[: -len(ending)], meaning]
    if word.endswith("'s") and len(word) > 2:
        return [word]  # a possessive: facts.py turns it round
    if "'" in word:
        return [part for part in word.split("'") if part]
    return [word]
