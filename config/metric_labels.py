"""Which names labels of metrics may have.

Rules: a name is ASCII, as Prometheus has it everywhere; none that the metrics, Prometheus itself or its scrapes use for
something else: a sample has each name once. A test holds RESERVED to what /metrics shows.
"""

import re
from typing import Final

_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")

RESERVED: Final = frozenset(
    {
        *("provider", "operation", "model", "outcome", "code", "kind", "error"),  # of calls
        *("origin", "protocol", "stage", "state", "tier", "worker", "result", "role", "reason"),  # of its parts
        *("le", "quantile", "generation"),  # of histograms, summaries and Python's collector
        "version",  # of the build
        *("job", "instance"),  # of every scrape: they say where the samples come from
    }
)


def unusable(name: str) -> str:
    """Why this cannot be the name of a label of metrics; empty if it can."""
    if not _NAME.fullmatch(name):
        return f"{name!r} cannot be a label of metrics: letters, digits and underscores only, beginning with a letter"
    if name in RESERVED:
        return f"{name!r} cannot be a label of metrics, where it says something else"
    return ""
