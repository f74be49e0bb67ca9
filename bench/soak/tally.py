"""What the clients of the soak did and saw: calls by kind, and what was wrong.

Rules: a call counts once its request has gone out whole: from there on the ledger owes a row for it, whatever the
client does next. Only of a client that leaves before it has seen a byte nobody can say whether its request was ever
read (a reset throws away what waits in the kernel): such calls are `doubtful`. Texts of failures are kept to a limit.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

_KEPT: Final = 20


@dataclass(slots=True)
class Tally:
    """Over all clients."""

    asked: Counter[str] = field(default_factory=Counter)  # calls by kind
    doubtful: Counter[str] = field(default_factory=Counter)  # those of them that may not have been read
    acts: Counter[str] = field(default_factory=Counter)  # what was done, calls or not
    tunnelled_bytes: int = 0
    slow: int = 0  # answered by 504: the origin had not answered in time
    wrong: int = 0
    texts: list[str] = field(default_factory=list)

    def failed(self, act: str, reason: str) -> None:
        """An act that did not go as it must."""
        self.wrong += 1
        if len(self.texts) < _KEPT:
            self.texts.append(f"{act}: {reason}")


def differences(asked: Counter[str], doubtful: Counter[str], recorded: Counter[str]) -> list[str]:
    """Where the ledger disagrees with the clients, by kind."""
    found = []
    for kind in sorted({*asked, *recorded}):
        most, rows = asked[kind], recorded[kind]
        least = most - doubtful[kind]
        if not least <= rows <= most:
            owed = f"{most:,}" if least == most else f"{least:,} to {most:,}"
            found.append(f"{kind}: the ledger owes {owed} rows and has {rows:,}")
    return found
