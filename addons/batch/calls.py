"""The upstream calls of the stage `batch`, each for the missing inputs of one order or several.

Rules: each is an exchange of its own for the stages below. What it cost is shared out among those who pay for its
inputs, to the last nano-dollar. When several share a call and it is refused, each makes its own: one bad input must not
fail the others. What breaks or is limited upstream is everybody's failure, as it would be for a shared flight.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from addons.batch.kept import Kept
from addons.batch.parts import Failed, Frame, Group, Order, Part, Plan, Wanted
from addons.batch.reading import carried, parts_of, read, shares
from config.caching import Batch as BatchSettings
from proxy.exchange.elements import Answered
from proxy.exchange.errors import ExchangeError
from proxy.exchange.forward import show, show_end
from proxy.exchange.headers import HeaderList, without
from proxy.exchange.model import Ending, Exchange, Response, UpstreamCall
from proxy.exchange.usage import Usage
from proxy.tasks import TaskSet

type PriceOf = Callable[[Exchange, Usage | None], int | None]

# Fields of a request that are about its very body, or name it.
_NOT_SENT = (b"content-length", b"idempotency-key")
_EVERYBODYS = frozenset({401, 402, 403, 408, 429})  # it is not the inputs that they are about
_TOO_MUCH = frozenset({400, 413, 422, 429})
_FEWEST = 2


class Calls:
    """What is sent upstream."""

    def __init__(
        self, kept: Kept, settings: BatchSettings, max_answer_bytes: int, tasks: TaskSet, price_of: PriceOf
    ) -> None:
        self._kept = kept
        self._settings = settings
        self._max_answer_bytes = max_answer_bytes
        self._tasks = tasks
        self._price_of = price_of

    def send(self, group: Group) -> None:
        """Send a group at once, by itself."""
        self._tasks.spawn(self._fly(group.plan.frame, [group]), name="batch")

    def send_soon(self, group: Group) -> None:
        """Send a group with others, when the time is over, or nothing else is under way."""
        frame = group.plan.frame
        frame.waiting.append(group)
        if frame.timer is None:
            wait_s = self._settings.wait_ms / 1000
            frame.timer = asyncio.get_running_loop().call_later(wait_s, self._send_waiting, frame)

    def _send_waiting(self, frame: Frame) -> None:
        groups, frame.waiting = frame.waiting, []
        if frame.timer is not None:
            frame.timer.cancel()
            frame.timer = None
        together: list[Group] = []
        inputs = size = 0
        for group in groups:
            self._drop_unwanted(frame, group)
            count, length = len(group.wanted), sum(len(each.element.raw) for each in group.wanted)
            most = min(frame.most, self._settings.max_inputs)
            if together and (inputs + count > most or size + length > self._settings.max_bytes):
                self._tasks.spawn(self._fly(frame, together), name="batch")
                together, inputs, size = [], 0, 0
            if count:
                together.append(group)
                inputs, size = inputs + count, size + length
        if together:
            self._tasks.spawn(self._fly(frame, together), name="batch")

    def _drop_unwanted(self, frame: Frame, group: Group) -> None:
        kept = [each for each in group.wanted if each.is_still_wanted()]
        for each in group.wanted:
            if each not in kept:
                release(frame, [each])
                each.resolve(Failed())
        group.wanted = kept

    async def _fly(self, frame: Frame, groups: list[Group]) -> None:
        wanted = [each for group in groups for each in group.wanted]
        lead = groups[0]
        called = _exchange(lead, wanted)
        result: Answered | Failed = Failed()
        fields: HeaderList = []
        frame.under_way += 1
        try:
            response = await lead.order.call_next(called)
            fields = carried(response.headers)
            result = await self._received(lead.plan, called, wanted, response, is_shared=len(groups) > 1)
        except ExchangeError as failure:
            result = Failed(error=failure)
        finally:
            self._settle(lead, called, wanted, result, fields)
            self.landed(frame)

    async def _received(
        self, plan: Plan, called: Exchange, wanted: list[Wanted], response: Response, *, is_shared: bool
    ) -> Answered | Failed:
        body = await _collected(response, self._max_answer_bytes)
        status = response.status
        if 200 <= status < 300:
            answered = read(plan, called.call, response.headers, body, len(wanted))
            if answered is not None and is_shared:
                plan.frame.most = min(plan.frame.most + 1, plan.dialect.most)
            return answered or Failed()
        if is_shared and status in _TOO_MUCH:
            plan.frame.most = max(_FEWEST, len(wanted) // 2)
        if body is None or (400 <= status < 500 and (is_shared or status not in _EVERYBODYS)):
            return Failed()
        return Failed(Response(status, response.headers, body))

    def _settle(
        self, lead: Group, called: Exchange, wanted: list[Wanted], result: Answered | Failed, fields: HeaderList
    ) -> None:
        """Everybody gets his parts, and pays for what he asked for first."""
        call = called.call
        cost = self._price_of(called, call.usage) if call is not None else 0
        elements = [each.element for each in wanted]
        if isinstance(result, Failed):
            paid = shares(cost, [element.weight for element in elements])
            for each, share in zip(wanted, paid, strict=True):
                _pay(each, share, None, call)
                each.resolve(result)
            release(lead.plan.frame, wanted)
            return
        parts = parts_of(result, elements, cost, call.usage if call is not None else None, fields)
        for each, part in zip(wanted, parts, strict=True):
            _pay(each, part.cost_nanousd, part.usage, call)
            each.resolve(part)
        self.keep(lead.plan.frame, lead.order.exchange, list(zip(wanted, parts, strict=True)), call)

    def keep(
        self, frame: Frame, exchange: Exchange, parts: Sequence[tuple[Wanted, Part]], call: UpstreamCall | None
    ) -> None:
        """Store what came. Until it is stored, it can be had as if it were still under way."""
        took_ms = 0 if call is None else round(((call.ended_at or time.monotonic()) - call.started_at) * 1000)
        self._tasks.spawn(self._keep(frame, exchange, parts, took_ms), name="elements put")

    async def _keep(self, frame: Frame, exchange: Exchange, parts: Sequence[tuple[Wanted, Part]], took_ms: int) -> None:
        try:
            await self._kept.keep(exchange, parts, took_ms)
        finally:
            release(frame, [wanted for wanted, _ in parts])

    def landed(self, frame: Frame) -> None:
        """A call has ended: what waits for company need not wait any longer, once it was the last."""
        frame.under_way -= 1
        if not frame.under_way and frame.waiting:
            self._send_waiting(frame)

    def price_of(self, exchange: Exchange, usage: Usage | None) -> int | None:
        """Nano-dollars; None when the price is unknown."""
        return self._price_of(exchange, usage)

    @property
    def max_answer_bytes(self) -> int:
        """Larger answers are not taken apart."""
        return self._max_answer_bytes


def _pay(wanted: Wanted, share: int | None, usage: Usage | None, call: UpstreamCall | None) -> None:
    payer: Order | None = wanted.payer
    if payer is not None:
        payer.pay(share, usage, call)


def release(frame: Frame, wanted: Iterable[Wanted]) -> None:
    """These can be had no longer as if they were under way."""
    for each in wanted:
        if frame.pending.get(each.key) is each:
            del frame.pending[each.key]


def _exchange(lead: Group, wanted: list[Wanted]) -> Exchange:
    """The call upstream, as the stages below see it."""
    asking, request = lead.order.exchange, lead.order.exchange.request
    body = lead.plan.asked.with_elements(each.element.raw for each in wanted)
    upstream = request.changed(without(request.headers, _NOT_SENT), body)
    return asking.on_behalf(asking.id, upstream, time.monotonic(), asking.wall_time)


async def _collected(response: Response, limit: int) -> bytes | None:
    """The whole body; None when it is longer than that."""
    body = response.body
    if isinstance(body, bytes):
        return body
    pieces: list[bytes] = []
    ending = Ending.ABANDONED
    try:
        while (piece := await body.read()) is not None:
            show(response.taps, piece)
            limit -= len(piece)
            if limit < 0:
                return None
            pieces.append(piece)
        ending = Ending.COMPLETE
    except ExchangeError:
        ending = Ending.TRUNCATED
        raise
    finally:
        show_end(response.taps, ending)
        await body.aclose()
    return b"".join(pieces)
