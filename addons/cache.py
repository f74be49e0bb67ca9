"""cache: answers from what is stored, and has stored what is complete (recording.py).

`stamp`: the highest stamp of a rule of invalidation that is known now (proxy/stores/rules.py).

Rules: only calls that policy lets be answered again; only complete answers with a success status; the client's
Cache-Control is obeyed (RFC 9111), and every answer says what happened (RFC 9211). For calls that only
`cache.sampling: deterministic` keeps out, it remembers which have been asked before, so that reports can say what
`any` would have saved.
"""

import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from addons.buckets import bucket_key, bucket_of
from addons.recording import PriceOf, Recording
from addons.renewals import Renewals
from config.schema import Settings
from proxy.exchange import cache_control
from proxy.exchange.cache_control import Use
from proxy.exchange.chain import Handler
from proxy.exchange.errors import Refusal, UpstreamError
from proxy.exchange.forward import show_end
from proxy.exchange.model import Ending, Exchange, Response
from proxy.exchange.record import Outcome
from proxy.stores.base import Entry, Store
from proxy.stores.tiers import Tiers
from proxy.tasks import TaskSet

_ERRORS = frozenset({429, 500, 502, 503, 504})  # that a stale answer may take the place of (RFC 5861, section 4)
_SEEN_LIMIT = 30_000  # fingerprints remembered for the report: about 8 MB


class CacheStage:
    """The stage."""

    name = "cache"

    def __init__(
        self,
        store: Store,
        settings: Settings,
        tasks: TaskSet,
        price_of: PriceOf,
        renewals: Renewals,
        *,
        stamp: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.time,
        choose: Callable[[int], int] = random.randrange,
        seen_limit: int = _SEEN_LIMIT,
    ) -> None:
        self._store = store
        self._seen_limit = seen_limit
        self._renewals = renewals
        self._choose = choose
        self._asked_since: OrderedDict[bytes, float] = OrderedDict()  # key: when the answer was stored that was given
        self._stamp = stamp
        self._enabled = settings.cache.enabled
        self._recording = Recording(store, settings, tasks, price_of, clock)
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def concerns(self, exchange: Exchange) -> bool:
        """See proxy.exchange.chain.Choosy."""
        return self._enabled

    async def handle(self, exchange: Exchange, call_next: Handler) -> Response:
        if not self._enabled:
            return await call_next(exchange)
        key, directives = exchange.fingerprint, exchange.directives
        if directives.only_if_cached and (key is None or not exchange.answers_again or directives.no_store):
            raise _not_cached()
        if key is None or directives.no_store:
            return await call_next(exchange)
        if not exchange.answers_again:
            if exchange.would_answer_again:
                self._remember(exchange, key)
            return await call_next(exchange)
        key = exchange.fingerprint = self._bucket(exchange, key)
        exchange.epoch = self._stamp()
        found = None if directives.no_cache or directives.unread else await self._store.get(key)
        if found is not None and (response := self._answered(exchange, key, found, call_next)) is not None:
            return response
        if directives.only_if_cached:
            raise _not_cached()
        return await self._fetched(exchange, key, found, call_next)

    async def again(self, exchange: Exchange) -> Response | None:
        """Look once more, for a call that missed: another worker may have stored its answer meanwhile. What is outside
        this machine's memory is looked at only when another replica is known to have made the call."""
        if exchange.outcome is not Outcome.MISS or exchange.fingerprint is None:
            return None
        directives = exchange.directives
        if directives.no_cache or directives.unread:
            return None
        store, key = self._store, exchange.fingerprint
        if isinstance(store, Tiers) and not exchange.landed_lately:
            entry = await store.get_near(key)
        else:
            entry = await store.get(key)
        return None if entry is None else self._answered(exchange, key, entry, None)

    async def of(self, exchange: Exchange, key: bytes) -> Entry | None:
        """The answer to another call, if it is fresh enough for this one."""
        entry = await self._store.get(key)
        if entry is None:
            return None
        age, ttl = age_and_ttl(exchange, entry)
        return None if cache_control.judge(exchange.directives, age, ttl) is Use.NO else entry

    def replay(self, exchange: Exchange, entry: Entry, detail: str) -> Response:
        """Answer with what `of` gave. The short way of repeated hits does not take part: it knows one key a call."""
        age, ttl = age_and_ttl(exchange, entry)
        response = self._replayed(exchange, entry, f"{cache_control.hit_status(age, ttl)}; detail={detail}", age)
        exchange.replayed = None
        exchange.watchers.clear()
        return response

    def _bucket(self, exchange: Exchange, key: bytes) -> bytes:
        """Of a sampled call, several different answers may be kept: each has a fingerprint of its own."""
        count = _buckets_of(exchange)
        if count == 1:
            return key
        return bucket_key(key, bucket_of(exchange.asked.seed, count, self._choose))

    def _answered(self, exchange: Exchange, key: bytes, entry: Entry, call_next: Handler | None) -> Response | None:
        """The stored answer, if it may be used; renewed behind the call where the policy wants that."""
        policy = exchange.policy
        age, ttl = age_and_ttl(exchange, entry)
        window = policy.stale_while_revalidate_s or 0.0 if policy is not None else 0.0
        use = cache_control.judge(exchange.directives, age, ttl, window)
        if use is Use.NO:
            exchange.cache_status = "fwd=stale"
            return None
        if call_next is not None and (use is Use.RENEWED or self._is_due(exchange, key, age, ttl)):
            self._renewals.start(exchange, key, call_next, self._recording.watcher)
        return self._replayed(exchange, entry, cache_control.hit_status(age, ttl), age)

    def _replayed(self, exchange: Exchange, entry: Entry, status: str, age: float) -> Response:
        body = entry.original()
        exchange.outcome = Outcome.HIT
        exchange.stored_usage = entry.usage
        exchange.stored_cost_nanousd = entry.cost_nanousd
        exchange.cache_status = status
        exchange.replayed = entry if _buckets_of(exchange) == 1 else None  # the next may get another of the answers
        exchange.age_s = int(age)
        return Response(entry.status, list(entry.headers), body)

    def _is_due(self, exchange: Exchange, key: bytes, age: float, ttl: float) -> bool:
        """Is it time to renew this answer ahead of its end? Only where it was asked for before since it was stored."""
        share = exchange.policy.refresh_ahead if exchange.policy is not None else None
        if not share:
            return False
        since = exchange.wall_time - age
        was_asked = self._asked_since.get(key) == since
        self._asked_since[key] = since
        self._asked_since.move_to_end(key)
        if len(self._asked_since) > self._seen_limit:
            self._asked_since.popitem(last=False)
        return was_asked and share * ttl < age <= ttl

    def _fetched(self, exchange: Exchange, key: bytes, found: Entry | None, call_next: Handler) -> Awaitable[Response]:
        """The answer from upstream; a stale one instead, where the origin fails and the policy lets that be."""
        directives = exchange.directives
        exchange.outcome = Outcome.MISS
        if directives.no_cache or directives.unread:
            exchange.cache_status = "fwd=request"
        exchange.cache_status = exchange.cache_status or "fwd=uri-miss"
        if not directives.unkept:
            exchange.watchers.append(self._recording.watcher(exchange))
        if found is None or not self._may_stand_in(exchange, found):
            return call_next(exchange)
        return self._fetched_or_stale(exchange, found, call_next)

    async def _fetched_or_stale(self, exchange: Exchange, found: Entry, call_next: Handler) -> Response:
        try:
            response = await call_next(exchange)
        except UpstreamError as failure:
            return self._stood_in(exchange, found, failure.status)
        if response.status not in _ERRORS:
            return response
        if not isinstance(response.body, bytes):
            show_end(response.taps, Ending.ABANDONED)
            await response.body.aclose()
        return self._stood_in(exchange, found, response.status)

    def _may_stand_in(self, exchange: Exchange, entry: Entry) -> bool:
        policy = exchange.policy
        window = policy.stale_if_error_s or 0.0 if policy is not None else 0.0
        age, ttl = age_and_ttl(exchange, entry)
        return cache_control.will_do(exchange.directives, age, ttl, window)

    def _stood_in(self, exchange: Exchange, entry: Entry, status: int) -> Response:
        age, ttl = age_and_ttl(exchange, entry)
        said = f"{cache_control.hit_status(age, ttl)}; fwd=stale; fwd-status={status}; detail=stale-if-error"
        return self._replayed(exchange, entry, said, age)

    def _remember(self, exchange: Exchange, key: bytes) -> None:
        seen_at = self._seen.get(key)
        exchange.seen_before = seen_at is not None and exchange.wall_time - seen_at <= exchange.ttl_s

        def keep(finished: Exchange) -> None:
            if finished.call is not None and finished.call.complete and not finished.seen_before:
                self._seen[key] = finished.wall_time
                self._seen.move_to_end(key)
                if len(self._seen) > self._seen_limit:
                    self._seen.popitem(last=False)

        exchange.on_finished.append(keep)


def age_and_ttl(exchange: Exchange, entry: Entry) -> tuple[float, float]:
    """How old a stored answer is, and how long it is fresh for this call, in seconds."""
    return entry.age(exchange.wall_time), min(entry.ttl_s, exchange.ttl_s)


def _buckets_of(exchange: Exchange) -> int:
    policy = exchange.policy
    if policy is None or not exchange.operation.sampled or exchange.facts.deterministic:
        return 1
    return policy.buckets or 1


def _not_cached() -> Refusal:
    # RFC 9111, section 5.2.1.7
    return Refusal("only_if_cached", "only-if-cached was asked for, and no stored answer can be used", status=504)
