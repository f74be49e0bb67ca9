"""What callgrind's output says: the instructions in all.

Rules: pure. The format is that of valgrind's manual, "Callgrind Format Specification".
"""

import re
from typing import Final

from bench.failures import BenchFailed

# `totals`, the sum of what the file lists, also has what ran before the first `zero`, and is written last.
_SUMMARY: Final = re.compile(r"^summary: *(\d+)", re.MULTILINE)
_TOTALS: Final = re.compile(r"^totals:", re.MULTILINE)


def total(text: str) -> int:
    """The instructions of one output file. Raises BenchFailed when it was not written to its end."""
    found = _SUMMARY.search(text)
    if found is None or not _TOTALS.search(text):
        raise BenchFailed("callgrind did not write its output to the end")
    return int(found[1])
