"""What is wrong with the settings, said to a person.

Rules: every problem names where the value came from, the key's full path, what was given and what is allowed; all
problems are told at once. Values that can hold credentials are never repeated.
"""

import re
from dataclasses import dataclass
from typing import Final

SECRET_KEYS: Final = frozenset({"cache.redis.url", "ledger.url", "upstream.proxy"})  # URLs that may carry a password
_USERINFO = re.compile(r"(?<=://)\S*@")  # up to the last one: some readers take passwords with a slash or an @ in them
_IN_QUERY = re.compile(r"(?<=[?&]password=)[^&\s]+", re.IGNORECASE)
_SHOWN_CHARACTERS: Final = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `source` is a file with its line, a variable's name or a flag; `key` may be empty."""

    source: str
    key: str
    message: str

    def __str__(self) -> str:
        key = "" if self.source.endswith(f" {self.key}") else self.key  # --set names its key already
        return ": ".join(part for part in (self.source, key, self.message) if part)


class SettingsError(Exception):
    """The settings cannot be used. `problems` has at least one."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"the settings have a problem: {self.problems[0]}"
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        return f"the settings have {len(self.problems)} problems:\n{lines}"


def without_password(text: str) -> str:
    """The text with the user and password of URLs in it hidden."""
    return _IN_QUERY.sub("***", _USERINFO.sub("***@", text))


def shown(value: object) -> str:
    """A given value as a problem's message repeats it: short, and without the credentials of URLs."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            text = without_password(value)
            return f'"{text[:_SHOWN_CHARACTERS]}…"' if len(text) > _SHOWN_CHARACTERS else f'"{text}"'
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return "something else"
