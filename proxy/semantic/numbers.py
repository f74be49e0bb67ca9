"""Numbers as they are compared: 1,000 and 1000 are one, 3.10 and 3.1 are two. Pure."""

import re
from typing import Final

from proxy.semantic.tables import CURRENCIES, MULTIPLES, NUMBER_WORDS, UNITS

_NUMBER: Final = re.compile(
    r"(?P<sign>[-+]?)(?P<currency>[$€£¥₹]?)(?P<figure>\d+(?:[.,]\d+)*)(?P<percent>%?)(?P<unit>[a-zA-Zµ°]{0,4}[€£]?)"
)
_GROUPED: Final = re.compile(r"\d{1,3}(?:,\d{3})+")


def number(text: str) -> list[str] | None:
    """The tokens of a figure with what is attached to it; None when this is no number."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    sign, figure, unit = found["sign"], found["figure"], found["unit"]
    tokens = ["#" + ("-" if sign == "-" else "") + figure]
    if found["currency"]:
        tokens.append(CURRENCIES[found["currency"]])
    if found["percent"]:
        tokens.append("%")
    if unit in ("st", "nd", "rd", "th"):
        return [tokens[0] + "th"]
    if unit:
        tokens.append(CURRENCIES.get(unit) or _unit(unit))
    return tokens


def _unit(unit: str) -> str:
    """In lower case where that is no other unit: Mb are not MB, and mm not Mm."""
    if unit.lower() in ("am", "pm"):
        return "=" + unit.lower()
    return UNITS.get(unit) or (unit if unit.islower() else "=" + unit)


def spelt(words: list[str]) -> list[str]:
    """English words with their number words as figures: `two`, `twenty-five`, `5 million`; 1,000 is 1000."""
    found: list[str] = []
    for word in words:
        if word[0] == "#" and _GROUPED.fullmatch(word.lstrip("#-")):
            found.append(word.replace(",", ""))
            continue
        value = _value(word)
        if value is not None:
            found.append(f"#{value}")
        elif word in MULTIPLES and found and found[-1][1:].isdigit() and found[-1][0] == "#":
            found[-1] = f"#{int(found[-1][1:]) * MULTIPLES[word]}"
        elif word in ("am", "pm", "a.m", "p.m", "=a.m.", "=p.m.", "=AM", "=PM") and found and found[-1][0] == "#":
            found.append("=" + word.strip("=").replace(".", "").lower())
        else:
            found.append(word)
    return found


def _value(word: str) -> int | None:
    if (value := NUMBER_WORDS.get(word)) is not None:
        return value
    tens, dash, ones = word.partition("-")
    if dash and NUMBER_WORDS.get(tens, 0) >= 20 and 1 <= NUMBER_WORDS.get(ones, 0) <= 9:
        return NUMBER_WORDS[tens] + NUMBER_WORDS[ones]
    return None
