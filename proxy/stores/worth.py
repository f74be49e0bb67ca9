"""What not having to ask again is worth: the money, the wait, and the call itself. Pure.

Rules: in nano-dollars, never nothing: also a call without a known price takes its share of a rate limit.
"""

from typing import Final

from proxy.stores.base import Entry

NANOUSD_PER_MS: Final = 500  # of waiting: a second is worth half a tenth of a cent, about what a short answer costs
CALL_NANOUSD: Final = 100_000


def worth_nanousd(entry: Entry) -> int:
    """Of one hit on this answer."""
    return CALL_NANOUSD + max(0, entry.cost_nanousd or 0) + NANOUSD_PER_MS * max(0, entry.took_ms)
