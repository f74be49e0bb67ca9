"""Stages and how they are composed.

A stage handles an exchange by calling the next one, or by answering itself. `compose` folds the configured stages into
one handler, once per settings snapshot. Each stage stands behind a guard: an exception in it is counted, logged and
stepped over, with the response (or the error) the rest of the chain had already given, or else by going on without it.
Only an ExchangeError passes: that is a stage's way of answering no.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from proxy.exchange.errors import ExchangeError
from proxy.exchange.model import Exchange, Response

type Handler = Callable[[Exchange], Awaitable[Response]]
type OnStageFailure = Callable[[str, Exchange, Exception], None]


class Stage(Protocol):
    """One step of the way."""

    @property
    def name(self) -> str:
        """Stable: stands in metrics, logs and settings."""
        ...

    async def handle(self, exchange: Exchange, call_next: Handler) -> Response:
        """Answer the exchange. Raises ExchangeError to refuse; anything else is this stage's own failure."""
        ...


class _Next:
    """The rest of the chain, remembering what it gave for this exchange. What a stage asks it for another exchange of
    its own making is that stage's business."""

    __slots__ = ("_exchange", "_handler", "failure", "response")

    def __init__(self, handler: Handler, exchange: Exchange) -> None:
        self._handler = handler
        self._exchange = exchange
        self.response: Response | None = None
        self.failure: BaseException | None = None

    async def __call__(self, exchange: Exchange) -> Response:
        if exchange is not self._exchange:
            return await self._handler(exchange)
        try:
            response = self.response = await self._handler(exchange)
        except BaseException as failure:
            self.failure = failure
            raise
        return response


def guard(stage: Stage, following: Handler, on_failure: OnStageFailure) -> Handler:
    """`stage` in front of `following`, such that the stage's own failures never fail the exchange."""
    handle, name = stage.handle, stage.name

    async def guarded(exchange: Exchange) -> Response:
        call_next = _Next(following, exchange)
        try:
            return await handle(exchange, call_next)
        except ExchangeError:
            raise
        except Exception as failure:
            if failure is call_next.failure:
                raise
            on_failure(name, exchange, failure)
            if call_next.response is not None:
                return call_next.response
            if call_next.failure is not None:
                raise call_next.failure from failure
            return await following(exchange)
        finally:
            # Its traceback knows this frame: they would keep each other, and the exchange, until a collection.
            call_next.failure = None

    return guarded


def compose(stages: Sequence[Stage], terminal: Handler, on_failure: OnStageFailure) -> Handler:
    """Fold the stages, first one outermost, onto the terminal handler."""
    handler = terminal
    for stage in reversed(stages):
        handler = guard(stage, handler, on_failure)
    return handler
