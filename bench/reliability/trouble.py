"""What a trouble is: something that is done to a server, and what is to be known of it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trouble:
    """`make` does it, blocks until it is over, and returns the moment (monotonic) from which the tier could be used
    again. The words are for whoever is paged."""

    name: str  # as --only takes it
    title: str
    make: Callable[[], float]
    notices: str  # what a call notices
    recovers: str
    remarks: Callable[[], tuple[str, ...]] = lambda: ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A trouble that cannot be made here."""

    title: str
    reason: str
