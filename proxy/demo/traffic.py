"""What passes between a connection and the simulator: a received request, and the counters.

Rules: counters only ever grow, except those named `open` and `active`.
"""

from collections import Counter
from dataclasses import dataclass, field

from proxy.wire.events import RequestHead


@dataclass(slots=True)
class Traffic:
    """What went over the simulator's connections."""

    opened: Counter[str] = field(default_factory=Counter)  # by protocol: "1.1", "2"
    open: Counter[str] = field(default_factory=Counter)
    completed: int = 0  # answers sent to their end
    abandoned: int = 0  # requests or answers that the client gave up
    broken: int = 0  # answers that ended by a fault
    active_streams: int = 0
    most_streams: int = 0  # at the same time, over all connections


@dataclass(slots=True)
class Received:
    """A request, complete."""

    head: RequestHead
    body: bytes
    connection_id: int
