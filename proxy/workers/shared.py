"""What all workers share in memory: made in the supervisor before it forks, handed to each worker's Skinflint.

Rules: nothing in it may need a thread or an event loop at that time, and it must survive the death of a worker at any
instruction. Here is the only place that decides what it is.
"""

from typing import Protocol

from config.schema import Settings


class SharedParts(Protocol):
    """What the supervisor needs of it."""

    def on_worker_death(self, index: int) -> None:
        """The worker in this place is gone, whatever it held; called in the supervisor before it is replaced."""
        ...


def make_shared(_settings: Settings, _count: int) -> SharedParts | None:
    """The shared parts of a proxy of `count` workers; None when they share nothing."""
    return None
