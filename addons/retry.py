"""retry: a call that failed before its first byte is made again, where that is safe and the budget allows it.

Safe is: nothing of it was sent; or the method is idempotent (RFC 9110, section 9.2.2); or the operation only answers
and changes nothing at the provider, and the connection broke before any answer. Statuses are the SDKs' business: they
retry 429 and 5xx themselves, and know better what their caller waits for.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from config.schema import Settings
from proxy.exchange.chain import Handler
from proxy.exchange.errors import UpstreamError
from proxy.exchange.model import Exchange, Response
from proxy.upstream.retry_budget import RetryBudget

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_BROKEN = frozenset({"connection_terminated"})
_UNREACHED = frozenset({"connection_refused", "connection_failed", "connection_terminated", "tls_protocol_error"})
_BASE_DELAY_S = 0.05


class Retry:
    """The stage."""

    name = "retry"

    def __init__(self, settings: Settings, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._limit = settings.upstream.retries
        self._sleep = sleep
        self._budget = RetryBudget(settings.upstream.retry_budget)

    async def handle(self, exchange: Exchange, call_next: Handler) -> Response:
        self._budget.note_call(time.monotonic())
        attempt = 0
        while True:
            attempt += 1
            if exchange.call is not None:
                exchange.call.attempts = attempt
            try:
                return await call_next(exchange)
            except UpstreamError as failure:
                last = attempt > self._limit
                if last or not is_safe(exchange, failure) or not self._budget.try_spend(time.monotonic()):
                    raise
            # The first retry goes at once: the usual cause is an idle connection that the origin had just closed.
            if attempt > 1:
                await self._sleep(_BASE_DELAY_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))  # noqa: S311


def is_safe(exchange: Exchange, failure: UpstreamError) -> bool:
    """May the call be made again after this failure?"""
    if not isinstance(exchange.request.body, bytes):
        return False  # a streamed body cannot be read twice
    if not failure.sent:
        return failure.code in _UNREACHED
    if failure.code not in _BROKEN:
        return False
    repeatable = exchange.operation.repeatable and not exchange.facts.stateful
    return exchange.request.method in _IDEMPOTENT or repeatable
