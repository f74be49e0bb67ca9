"""batch: embeddings by element. Of an array of inputs, what is stored is not asked again; what is missing goes
upstream, once for all who want it, and with other calls' missing inputs; the answer is put together in order.

Stands after the cache, so that a call that was made before is one lookup, and above collapse: a call of which nothing
is stored, and that nobody shares, goes on byte for byte as it came, is joined by identical ones there, and is learnt
from. A call waits for company only while another one like it is under way, and then for `batch.wait_ms` at most.

Rules: only what the provider's dialect understands in full is taken apart; vectors are copied byte for byte. A row in
the ledger pays for what it asked for first, and says what the provider would have counted for the whole array.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from addons.batch.calls import Calls, PriceOf
from addons.batch.kept import Kept
from addons.batch.parts import Failed, Frame, Frames, Group, Order, Part, Plan, Wanted
from addons.batch.passing import Passing
from config.schema import Settings
from proxy.exchange.canonical import length_prefixed
from proxy.exchange.chain import Handler
from proxy.exchange.digest import KeyedDigest
from proxy.exchange.elements import ByElement
from proxy.exchange.errors import ExchangeError, Refusal, UpstreamError
from proxy.exchange.headers import HeaderList
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import Outcome
from proxy.exchange.usage import Usage
from proxy.stores.base import Store
from proxy.tasks import TaskSet

_FRAMES = 1024
# Whoever signs a body, or packs it, must send it himself.
_BOUND = frozenset(
    {
        b"content-digest",
        b"content-encoding",
        b"content-md5",
        b"digest",
        b"repr-digest",
        b"signature",
        b"x-amz-content-sha256",
    }
)


class Batch:
    """The stage. `scope`: what two calls must have in common besides their bodies (see addons/fingerprint.py)."""

    name = "batch"

    def __init__(
        self,
        key: bytes,
        scope: Callable[[Exchange], Sequence[bytes]],
        store: Store,
        settings: Settings,
        *,
        tasks: TaskSet,
        price_of: PriceOf,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._digest_frame = KeyedDigest(key, b"elements")
        self._digest_element = KeyedDigest(key, b"element")
        self._scope = scope
        self._is_enabled = settings.cache.enabled
        self._settings = settings.batch
        self._frames = Frames(_FRAMES)
        self._kept = Kept(store, tasks, clock)
        self._calls = Calls(self._kept, settings.batch, settings.limits.max_answer_bytes, tasks, price_of)

    def concerns(self, exchange: Exchange) -> bool:
        """See proxy.exchange.chain.Choosy."""
        return exchange.by_element and self._is_enabled

    async def handle(self, exchange: Exchange, call_next: Handler) -> Response:
        plan = self._plan(exchange)
        if plan is None or (exchange.collapses and exchange.fingerprint in plan.frame.passing):
            return await call_next(exchange)  # an identical call is under way: collapse joins it
        elements = plan.elements()
        held = await self._kept.find(elements, exchange)
        missing = [key for key in elements if key not in held]
        if plan.frame.was_refused or not _belong_together(plan, held.values()):
            return await call_next(exchange)
        if not missing:
            return _hit(plan, exchange, held)
        joined = self._joinable(plan.frame, exchange, missing)
        own = [key for key in missing if key not in joined]
        waits = self._waits(plan, exchange, own)
        if not held and not joined and not waits:
            return await self._pass_whole(plan, exchange, call_next, shared=exchange.collapses)
        order = Order(exchange, call_next)
        fresh = await self._fetched(plan, order, joined, own, waits=waits)
        return await self._put_together(plan, order, held, fresh)

    def _plan(self, exchange: Exchange) -> Plan | None:
        """The call taken apart; None when it stays whole."""
        request, said = exchange.request, exchange.directives
        provider: object = exchange.provider
        if exchange.fingerprint is None or said.no_cache or said.no_store or said.unread or said.unkept:
            return None
        if not isinstance(provider, ByElement) or not isinstance(request.body, bytes) or _is_bound(request.headers):
            return None
        dialect = provider.element_dialect(exchange.operation, request.path)
        asked = dialect.split(request.body) if dialect is not None else None
        if dialect is None or asked is None or len(asked.elements) > min(dialect.most, self._settings.max_inputs):
            return None
        digest = self._digest_frame(length_prefixed([*self._scope(exchange), asked.frame]))
        keys = [self._digest_element(digest + element.canonical) for element in asked.elements]
        return Plan(dialect, asked, self._frames.get(digest, dialect.most), keys)

    def _joinable(self, frame: Frame, exchange: Exchange, missing: Sequence[bytes]) -> dict[bytes, Wanted]:
        """What is under way already. Not for who came after an invalidation that was later than its beginning."""
        if not exchange.collapses:
            return {}
        found = ((key, frame.pending.get(key)) for key in missing)
        return {key: wanted for key, wanted in found if wanted is not None and wanted.epoch >= exchange.epoch}

    def _waits(self, plan: Plan, exchange: Exchange, own: Sequence[bytes]) -> bool:
        """May these go with other calls' inputs?"""
        frame = plan.frame
        may_share = self._settings.enabled and exchange.collapses and (plan.dialect.is_known or frame.was_read)
        return may_share and bool(frame.under_way or frame.waiting) and 0 < len(own) <= self._settings.max_waiting

    async def _pass_whole(self, plan: Plan, exchange: Exchange, call_next: Handler, *, shared: bool) -> Response:
        """Send a call as it came, and learn its parts. `shared`: others may wait for them."""
        passing = Passing(self._calls, plan, exchange, shared=shared)
        exchange.watchers.append(passing.watch)
        try:
            return await call_next(exchange)
        finally:
            passing.close_with(exchange.call)

    async def _fetched(
        self, plan: Plan, order: Order, joined: Mapping[bytes, Wanted], own: Sequence[bytes], *, waits: bool
    ) -> dict[bytes, Part | Failed]:
        """What is missing: from calls under way, and from one of its own."""
        exchange, frame, elements = order.exchange, plan.frame, plan.elements()
        for wanted in joined.values():
            wanted.takers.append(order)
        asked = {key: Wanted(key, elements[key], order, exchange.epoch) for key in own}
        if exchange.collapses:
            frame.pending.update(asked)
        if asked:
            group = Group(plan, order, list(asked.values()))
            (self._calls.send_soon if waits else self._calls.send)(group)
        everything = {**joined, **asked}
        await order.wait(list(everything.values()))
        return {key: wanted.result.result() for key, wanted in everything.items()}

    async def _put_together(
        self, plan: Plan, order: Order, held: Mapping[bytes, Part], fresh: Mapping[bytes, Part | Failed]
    ) -> Response:
        exchange = order.exchange
        parts = {**held, **{key: found for key, found in fresh.items() if isinstance(found, Part)}}
        failures = [found for found in fresh.values() if isinstance(found, Failed)]
        for failure in failures:
            if failure.error is not None:
                raise _copy(failure.error)
            if failure.response is not None:
                exchange.watchers.clear()
                response = failure.response
                return Response(response.status, list(response.headers), response.body)
        if failures or not _belong_together(plan, parts.values()):
            return await self._pass_whole(plan, exchange, order.call_next, shared=False)
        exchange.watchers.clear()
        exchange.pieced = pieced = order.pieced
        pieced.usage = _usage(plan, parts)
        value = _value(plan, parts)
        known = value is not None and pieced.paid_nanousd is not None
        pieced.saved_nanousd = (value or 0) - (pieced.paid_nanousd or 0) if known else None
        _say(exchange, len(held), len(parts), has_paid=order.call is not None)
        newest = next(found for found in fresh.values() if isinstance(found, Part))
        return Response(200, list(newest.fields), _assembled(plan, parts))


def _say(exchange: Exchange, held: int, count: int, *, has_paid: bool) -> None:
    """RFC 9211's words for it."""
    status = f'fwd=partial; detail="{held} of {count} stored"' if held else "fwd=uri-miss"
    if has_paid:
        exchange.cache_status = status if held else f"{status}; detail=batch"
        return
    exchange.outcome = Outcome.COLLAPSED
    exchange.cache_status = f"{status}; collapsed"


def _hit(plan: Plan, exchange: Exchange, parts: Mapping[bytes, Part]) -> Response:
    exchange.outcome = Outcome.HIT
    exchange.watchers.clear()
    exchange.stored_usage = _usage(plan, parts)
    exchange.stored_cost_nanousd = _value(plan, parts)
    exchange.age_s = int(max(part.age_s for part in parts.values()))
    exchange.cache_status = f"hit; ttl={int(min(part.left_s for part in parts.values()))}"
    fields = list(next(iter(parts.values())).fields)
    return Response(200, fields, _assembled(plan, parts))


def _assembled(plan: Plan, parts: Mapping[bytes, Part]) -> bytes:
    ordered = [parts[key] for key in plan.keys]
    usage = _usage(plan, parts)
    tokens = None if usage is None else usage.input_tokens
    return plan.dialect.assemble(ordered[-1].template, [part.value for part in ordered], tokens)


def _usage(plan: Plan, parts: Mapping[bytes, Part]) -> Usage | None:
    """What the provider would have counted for the whole array."""
    total = 0
    first: Usage | None = None
    for key in plan.keys:
        used = parts[key].usage
        if used is None:
            return None
        first = first or used
        total += used.input_tokens
    assert first is not None
    return Usage(input_tokens=total, model=first.model, service_tier=first.service_tier)


def _value(plan: Plan, parts: Mapping[bytes, Part]) -> int | None:
    """What the whole array would have cost."""
    total = 0
    for key in plan.keys:
        cost = parts[key].cost_nanousd
        if cost is None:
            return None
        total += cost
    return total


def _belong_together(plan: Plan, parts: Iterable[Part]) -> bool:
    """Vectors of two models that answered to one name must never stand in one answer."""
    templates = {part.template for part in parts}
    return len(templates) < 2 or len({plan.dialect.lasting(each) for each in templates}) == 1


def _is_bound(headers: HeaderList) -> bool:
    return any(name in _BOUND or (name == b"authorization" and value.startswith(b"AWS4-")) for name, value in headers)


def _copy(failure: ExchangeError) -> ExchangeError:
    if isinstance(failure, UpstreamError):
        return UpstreamError(failure.code, failure.message, status=failure.status, sent=failure.sent)
    if isinstance(failure, Refusal):
        return Refusal(failure.code, failure.message, status=failure.status)
    return ExchangeError(failure.code, failure.message, status=failure.status)
