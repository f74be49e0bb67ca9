"""cache: answers from what is stored, and stores what is complete.

Rules: only calls that policy lets be answered again; only complete answers with a success status; the client's
Cache-Control is obeyed (RFC 9111), and every answer says what happened (RFC 9211). For calls that only
`cache.sampling: deterministic` keeps out, it remembers which have been asked before, so that reports can say what
`any` would have saved.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

from config.schema import Settings
from proxy.exchange import cache_control
from proxy.exchange.cache_control import Directives, Use
from proxy.exchange.chain import Handler
from proxy.exchange.errors import Refusal
from proxy.exchange.headers import HeaderList, first, without
from proxy.exchange.history import History
from proxy.exchange.model import Ending, Exchange, Response, Tap
from proxy.exchange.record import Outcome
from proxy.exchange.usage import Usage
from proxy.stores.base import Entry, Store, pack
from proxy.tasks import TaskSet

type PriceOf = Callable[[Exchange, Usage | None], int | None]

_NOT_STORED = (b"set-cookie", b"set-cookie2")
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
        *,
        clock: Callable[[], float] = time.time,
        seen_limit: int = _SEEN_LIMIT,
    ) -> None:
        self._store = store
        self._seen_limit = seen_limit
        self._clock = clock
        self._enabled = settings.cache.enabled
        self._max_bytes = settings.limits.max_answer_bytes
        self._tasks = tasks
        self._price_of = price_of
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def concerns(self, exchange: Exchange) -> bool:
        """See proxy.exchange.chain.Choosy."""
        return self._enabled

    async def handle(self, exchange: Exchange, call_next: Handler) -> Response:
        if not self._enabled:
            return await call_next(exchange)
        key = exchange.fingerprint
        directives = cache_control.parse(exchange.request.headers)
        if directives.only_if_cached and (key is None or not exchange.answers_again or directives.no_store):
            raise _not_cached()
        if key is None or directives.no_store:
            return await call_next(exchange)
        if not exchange.answers_again:
            if exchange.would_answer_again:
                self._remember(exchange, key)
            return await call_next(exchange)
        if not directives.no_cache and (response := await self._stored(exchange, key, directives)) is not None:
            return response
        if directives.only_if_cached:
            raise _not_cached()
        exchange.outcome = Outcome.MISS
        exchange.cache_status = "fwd=request" if directives.no_cache else (exchange.cache_status or "fwd=uri-miss")
        exchange.watchers.append(lambda response: self._recorder(exchange, key, response))
        return await call_next(exchange)

    async def again(self, exchange: Exchange) -> Response | None:
        """Look once more, for a call that missed: another worker may have stored its answer meanwhile."""
        if exchange.outcome is not Outcome.MISS or exchange.fingerprint is None:
            return None
        directives = cache_control.parse(exchange.request.headers)
        return None if directives.no_cache else await self._stored(exchange, exchange.fingerprint, directives)

    async def _stored(self, exchange: Exchange, key: bytes, directives: Directives) -> Response | None:
        entry = await self._store.get(key)
        if entry is None:
            return None
        age, ttl = entry.age(exchange.wall_time), min(entry.ttl_s, exchange.ttl_s)
        if cache_control.judge(directives, age, ttl) is Use.NO:
            exchange.cache_status = "fwd=stale"
            return None
        body = entry.original()
        exchange.outcome = Outcome.HIT
        exchange.stored_usage = entry.usage
        exchange.stored_cost_nanousd = entry.cost_nanousd
        exchange.cache_status = cache_control.hit_status(age, ttl)
        exchange.replayed = entry
        exchange.age_s = int(age)
        return Response(entry.status, list(entry.headers), body)

    def _recorder(self, exchange: Exchange, key: bytes, response: Response) -> Tap | None:
        if not 200 <= response.status < 300 or response.status in (204, 206):
            return None
        return Recorder(self, exchange, key, response, self._max_bytes)

    def store(self, exchange: Exchange, key: bytes, status: int, headers: HeaderList, body: bytes) -> None:
        """Keep a complete answer."""
        call = exchange.call
        usage = call.usage if call is not None else None
        packed, was_packed = pack(body, first(headers, b"content-encoding"))
        entry = Entry(
            status=status,
            headers=headers,
            body=packed,
            packed=was_packed,
            stored_at=self._clock(),
            ttl_s=exchange.ttl_s,
            provider=exchange.provider.name if exchange.provider is not None else "",
            operation=exchange.operation.name,
            model=(usage.model if usage is not None else "") or exchange.facts.model,
            usage=usage,
            cost_nanousd=self._price_of(exchange, usage),
        )
        self._tasks.spawn(self._store.put(key, entry), name="cache put")

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


class Recorder:
    """Collects an answer's body while it passes; stores it if it ends well. What a flight keeps of it, up to the same
    limit, need not be kept twice."""

    def __init__(self, cache: CacheStage, exchange: Exchange, key: bytes, response: Response, limit: int) -> None:
        self._cache = cache
        self._exchange = exchange
        self._key = key
        self._status = response.status
        self._headers = without(response.headers, _NOT_STORED)  # as they are now: stages above add their own
        self._room = limit
        shared = None if isinstance(response.body, bytes) else exchange.history
        self._is_shared = shared is not None
        self._history: History | None = shared or History()

    def feed(self, chunk: bytes) -> None:
        history = self._history
        if history is None:
            return
        self._room -= len(chunk)
        if self._room < 0:
            self._history = None
            return
        if not self._is_shared and history.append(chunk):
            history.pack()

    def end(self, ending: Ending) -> None:
        call = self._exchange.call
        if ending is Ending.COMPLETE and self._history is not None and call is not None and call.complete:
            self._cache.store(self._exchange, self._key, self._status, self._headers, self._history.joined())
        self._history = None


def _not_cached() -> Refusal:
    # RFC 9111, section 5.2.1.7
    return Refusal("only_if_cached", "only-if-cached was asked for, and no stored answer can be used", status=504)
