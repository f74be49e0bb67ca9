"""Waiting in asynchronous tests: looking again until it is so, with a deadline."""

import asyncio
import time
from collections.abc import Callable

DEADLINE_S = 20.0


async def until(is_so: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Look again and again until it is so. Fails when the deadline has passed."""
    give_up_at = time.monotonic() + deadline_s
    while not is_so():
        if time.monotonic() > give_up_at:
            raise AssertionError(f"waited in vain until {what}")
        await asyncio.sleep(0.005)
