"""What callgrind's output says: the instructions in all.

Rules: pure. The format is that of valgrind's manual, "Callgrind Format Specification".
"""

import re
from typing import Final

from bench.failures import BenchFailed

_TOTALS: Final = re.compile(r"^(?:totals|summary): *(\d+)", re.MULTILINE)


def total(text: str) -> int:
    """The instructions of one output file. Raises BenchFailed when it has no totals: it was not written to its end."""
    found = [int(number) for number in _TOTALS.findall(text)]
    if not found:
        raise BenchFailed("callgrind wrote no totals")
    return found[-1]
