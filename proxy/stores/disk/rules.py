"""The rules of invalidation in the disk tier's file: they must live as long as the entries that they cover.

Rules: bounded: a rule that covers everything takes the earlier ones with it, and past the limit the older half becomes
such a rule. Each write gets a number of its own, so that other processes find what is new.
"""

from collections.abc import Sequence
from typing import Final

from proxy.stores.disk.file import DiskFile
from proxy.stores.rules import Kind, Rule

_MOST: Final = 4_096


def keep(file: DiskFile, rules: Sequence[Rule]) -> None:
    """Write them. Raises DiskFault."""
    with file.transaction() as connection:
        for rule in rules:
            place = (rule.kind.value, rule.value)
            known = connection.execute("SELECT stamp FROM rules WHERE kind = ? AND value = ?", place).fetchone()
            if known is not None and known[0] >= rule.stamp:
                continue
            if rule.kind is Kind.ALL:
                connection.execute("DELETE FROM rules WHERE stamp <= ?", (rule.stamp,))
            connection.execute("DELETE FROM rules WHERE kind = ? AND value = ?", place)
            connection.execute("INSERT INTO rules (kind, value, stamp) VALUES (?, ?, ?)", (*place, rule.stamp))
        if connection.execute("SELECT count(*) FROM rules").fetchone()[0] <= _MOST:
            return
        stamp = connection.execute("SELECT stamp FROM rules ORDER BY stamp LIMIT 1 OFFSET ?", (_MOST // 2,)).fetchone()[
            0
        ]
        connection.execute("DELETE FROM rules WHERE stamp <= ?", (stamp,))
        # One that covers more may be there already.
        connection.execute(
            "INSERT OR IGNORE INTO rules (kind, value, stamp) VALUES (?, '', ?)", (Kind.ALL.value, stamp)
        )


def load(file: DiskFile, above: int = 0) -> tuple[list[Rule], int]:
    """Those with a number above this one, and the highest number. Raises DiskFault."""
    found = file.select("SELECT seq, kind, value, stamp FROM rules WHERE seq > ? ORDER BY seq", (above,))
    rules: list[Rule] = []
    for seq, kind, value, stamp in found:
        assert isinstance(seq, int)
        assert isinstance(stamp, int)
        above = seq
        try:
            rules.append(Rule(Kind(str(kind)), str(value), stamp))
        except ValueError:  # of a later version: what it covers is not known, so it covers everything
            rules.append(Rule(Kind.ALL, "", stamp))
    return rules, above
