"""Stages and how they are composed.

A stage handles an exchange by calling the next one, or by answering itself. `compose` folds the configured stages into
one handler, once per settings snapshot. Each stage stands behind a guard: an exception in it is counted, logged and
stepped over, with the response (or the error) the rest of the chain had already given, or else by going on without it.
Only an ExchangeError passes: that is a stage's way of answering no.

A stage in between costs every call two coroutines, its guard's and its own, or one where `handle` only decides whose
coroutine answers. So stages that never wait are `Step`s, and a row of them shares one; and a `Choosy` stage is left out
for calls that do not concern it.
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

    def handle(self, exchange: Exchange, call_next: Handler) -> Awaitable[Response]:
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
    """The rest of the chain as a stage sees it. What the rest gave for the guarded exchange it notes here itself: a
    coroutine in between would be one more for each stage of each call. What a stage asks for another exchange of its
    own making is that stage's business."""

    __slots__ = ("_exchange", "_following", "failure", "response")

    def __init__(self, following: "_Noting", exchange: Exchange) -> None:
        self._following = following
        self._exchange = exchange
        self.response: Response | None = None
        self.failure: BaseException | None = None

    def ask(self, exchange: Exchange) -> Awaitable[Response]:
        """A Handler."""
        return self._following(exchange, self if exchange is self._exchange else None)


class _Noting(Protocol):
    """A Handler that notes what it gives with whoever asks for that."""

    def __call__(self, exchange: Exchange, asker: _Next | None = None) -> Awaitable[Response]: ...


def noting(handler: Handler) -> _Noting:
    """`handler` as the guards want it."""

    async def noted(exchange: Exchange, asker: _Next | None = None) -> Response:
        try:
            response = await handler(exchange)
        except BaseException as failure:
            if asker is not None:
                asker.failure = failure
            raise
        if asker is not None:
            asker.response = response
        return response

    return noted


def guard(stage: Stage, following: _Noting, on_failure: OnStageFailure) -> _Noting:
    """`stage` in front of `following`, such that the stage's own failures never fail the exchange."""
    handle, name = stage.handle, stage.name

    async def stepped_over(exchange: Exchange, call_next: _Next, failure: Exception) -> Response:
        on_failure(name, exchange, failure)
        if call_next.response is not None:
            return call_next.response
        if call_next.failure is not None:
            raise call_next.failure from failure
        return await following(exchange)

    async def guarded(exchange: Exchange, asker: _Next | None = None) -> Response:
        call_next = _Next(following, exchange)
        try:
            try:
                response = await handle(exchange, call_next.ask)
            except ExchangeError:
                raise
            except Exception as failure:
                if failure is call_next.failure:
                    raise
                response = await stepped_over(exchange, call_next, failure)
        except BaseException as failure:
            if asker is not None:
                asker.failure = failure
            raise
        finally:
            # Its traceback knows this frame: they would keep each other, and the exchange, until a collection.
            call_next.failure = None
        if asker is not None:
            asker.response = response
        return response

    return guarded


def in_turn(steps: Sequence[Step], following: Handler, on_failure: OnStageFailure) -> _Noting:
    """A row of steps in front of `following`, each guarded as a stage is."""
    befores = [(step.name, step.before) for step in steps if type(step).before is not Step.before]
    afters = [(step.name, step.after) for step in reversed(steps) if type(step).after is not Step.after]

    async def stepped(exchange: Exchange, asker: _Next | None = None) -> Response:
        try:
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
        except BaseException as failure:
            if asker is not None:
                asker.failure = failure
            raise
        if asker is not None:
            asker.response = response
        return response

    return stepped


def passed_by(stage: Choosy, guarded: _Noting, following: _Noting, on_failure: OnStageFailure) -> _Noting:
    """`guarded` for the calls that concern its stage; `following`, without another coroutine, for all others."""
    concerns, name = stage.concerns, stage.name

    def chosen(exchange: Exchange, asker: _Next | None = None) -> Awaitable[Response]:
        try:
            handler = guarded if concerns(exchange) else following
        except Exception as failure:
            on_failure(name, exchange, failure)
            handler = following
        return handler(exchange, asker)

    return chosen


def compose(stages: Sequence[Stage], terminal: Handler, on_failure: OnStageFailure) -> Handler:
    """Fold the stages, first one outermost, onto the terminal handler."""
    handler: _Noting | None = None
    row: list[Step] = []
    for stage in reversed(stages):
        if isinstance(stage, Step):
            row.insert(0, stage)
            continue
        if row:
            handler, row = in_turn(row, handler or terminal, on_failure), []
        following = handler or noting(terminal)
        guarded = guard(stage, following, on_failure)
        handler = passed_by(stage, guarded, following, on_failure) if isinstance(stage, Choosy) else guarded
    return in_turn(row, handler or terminal, on_failure) if row else handler or terminal
