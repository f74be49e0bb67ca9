"""Stages and how they are composed.

A stage handles an exchange by calling the next one, or by answering itself. `compose` folds the configured stages into
one handler, once per settings snapshot. Each stage stands behind a guard: an exception in it is counted, logged and
stepped over, with the response (or the error) the rest of the chain had already given, or else by going on without it.
Only an ExchangeError passes: that is a stage's way of answering no.

A stage in between costs every call two coroutines. So stages that never wait are `Step`s, and a row of them shares one;
and a `Choosy` stage is left out for calls that do not concern it.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

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


class Step:
    """A stage that never waits: it acts on the way down, on the way up, or both. It raises what a Stage may raise."""

    name = "step"

    def before(self, exchange: Exchange) -> None:
        """On the way down."""

    def after(self, exchange: Exchange, response: Response) -> Response:
        """On the way up: what is answered."""
        return response

    async def handle(self, exchange: Exchange, call_next: Handler) -> Response:
        """As a Stage, on its own."""
        self.before(exchange)
        return self.after(exchange, await call_next(exchange))


@runtime_checkable
class Choosy(Protocol):
    """A stage that lets some calls pass it by."""

    @property
    def name(self) -> str:
        """As of any stage."""
        ...

    def concerns(self, exchange: Exchange) -> bool:
        """False: `handle` would only call the next one."""
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


def in_turn(steps: Sequence[Step], following: Handler, on_failure: OnStageFailure) -> Handler:
    """A row of steps in front of `following`, each guarded as a stage is."""
    befores = [(step.name, step.before) for step in steps if type(step).before is not Step.before]
    afters = [(step.name, step.after) for step in reversed(steps) if type(step).after is not Step.after]

    async def stepped(exchange: Exchange) -> Response:
        for name, before in befores:
            try:
                before(exchange)
            except ExchangeError:
                raise
            except Exception as failure:
                on_failure(name, exchange, failure)
        response = await following(exchange)
        for name, after in afters:
            try:
                response = after(exchange, response)
            except ExchangeError:
                raise
            except Exception as failure:
                on_failure(name, exchange, failure)
        return response

    return stepped


def passed_by(stage: Choosy, guarded: Handler, following: Handler, on_failure: OnStageFailure) -> Handler:
    """`guarded` for the calls that concern its stage; `following`, without another coroutine, for all others."""
    concerns, name = stage.concerns, stage.name

    def chosen(exchange: Exchange) -> Awaitable[Response]:
        try:
            handler = guarded if concerns(exchange) else following
        except Exception as failure:
            on_failure(name, exchange, failure)
            handler = following
        return handler(exchange)

    return chosen


def compose(stages: Sequence[Stage], terminal: Handler, on_failure: OnStageFailure) -> Handler:
    """Fold the stages, first one outermost, onto the terminal handler."""
    handler = terminal
    row: list[Step] = []
    for stage in reversed(stages):
        if isinstance(stage, Step):
            row.insert(0, stage)
            continue
        if row:
            handler, row = in_turn(row, handler, on_failure), []
        guarded = guard(stage, handler, on_failure)
        if isinstance(stage, Choosy):
            guarded = passed_by(stage, guarded, handler, on_failure)
        handler = guarded
    return in_turn(row, handler, on_failure) if row else handler
