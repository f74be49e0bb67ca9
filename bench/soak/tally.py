"""What the clients of the soak did and saw: calls by kind, and what was wrong.

Rules: a call counts once its request has gone out whole, whatever the client does next: from there on the ledger owes
a row for it. Texts of failures are kept to a limit, their number is not.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

_KEPT: Final = 20


@dataclass(slots=True)
class Tally:
    """Over all clients."""

    asked: Counter[str] = field(default_factory=Counter)  # calls by kind
    acts: Counter[str] = field(default_factory=Counter)  # what was done, calls or not
    tunnelled_bytes: int = 0
    wrong: int = 0
    texts: list[str] = field(default_factory=list)

    def failed(self, act: str, reason: str) -> None:
        """An act that did not go as it must."""
        self.wrong += 1
        if len(self.texts) < _KEPT:
            self.texts.append(f"{act}: {reason}")


def differences(asked: Counter[str], recorded: Counter[str]) -> list[str]:
    """Where the ledger disagrees with the clients, by kind."""
    return [
        f"{kind}: {asked[kind]:,} calls were made, the ledger has {recorded[kind]:,}"
        for kind in sorted({*asked, *recorded})
        if asked[kind] != recorded[kind]
    ]
