"""How many files and connections this process, and those that it forks, may have open."""

import contextlib
import resource
from typing import Final

MOST: Final = 1_048_576  # beyond any use; some containers have no limit at all, and tables grow with what is asked for


def raised(soft: int, hard: int) -> int:
    """The limit to ask for: what may be had, never less than there is. Pure."""
    if soft == resource.RLIM_INFINITY:
        return soft
    return max(soft, MOST if hard == resource.RLIM_INFINITY else min(hard, MOST))


def raise_limit() -> None:
    """Ask for as many as may be had: the usual limit of 1,024 is an old one, for programs that use select."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS says that there is no limit, and has one
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised(soft, hard), hard))
