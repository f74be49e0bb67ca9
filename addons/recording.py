"""How `cache` stores an answer: it is watched while it passes, and kept once it is complete.

Rules: only answers with a success status, whole, and no larger than policy and limits allow. Nobody waits for it.
"""

import time
from collections.abc import Callable

from config.schema import Settings
from proxy.exchange.headers import HeaderList, first, without
from proxy.exchange.history import History
from proxy.exchange.model import Ending, Exchange, Response, Tap, UpstreamCall, Watcher
from proxy.exchange.usage import Usage
from proxy.stores.base import Entry, Store, pack
from proxy.tasks import TaskSet

type PriceOf = Callable[[Exchange, Usage | None], int | None]

_NOT_STORED = (b"set-cookie", b"set-cookie2")


class Recording:
    """See the module. `clock`: seconds since the epoch."""

    def __init__(
        self, store: Store, settings: Settings, tasks: TaskSet, price_of: PriceOf, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._max_bytes = settings.limits.max_answer_bytes
        self._tasks = tasks
        self._price_of = price_of
        self._clock = clock

    def watcher(self, exchange: Exchange) -> Watcher:
        """What observe asks for a tap, to keep this exchange's answer by its fingerprint."""
        key = exchange.fingerprint
        assert key is not None
        return lambda response: self._recorder(exchange, key, response)

    def _recorder(self, exchange: Exchange, key: bytes, response: Response) -> Tap | None:
        if not 200 <= response.status < 300 or response.status in (204, 206):
            return None
        policy = exchange.policy
        most = policy.max_bytes if policy is not None else None
        return Recorder(self, exchange, key, response, min(most or self._max_bytes, self._max_bytes))

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
            epoch=exchange.epoch,
            took_ms=_took_ms(call, time.monotonic()),
            namespace=exchange.namespace,
            tags=exchange.asked.tags,
            labels=exchange.labels,
            credential=exchange.credential[:12],
            sensitive=bool(exchange.policy is not None and exchange.policy.sensitive),
        )
        self._tasks.spawn(self._store.put(key, entry), name="cache put")


class Recorder:
    """Collects an answer's body while it passes; stores it if it ends well. What a flight keeps of it, up to the same
    limit, need not be kept twice."""

    def __init__(self, recording: Recording, exchange: Exchange, key: bytes, response: Response, limit: int) -> None:
        self._recording = recording
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
            self._recording.store(self._exchange, self._key, self._status, self._headers, self._history.joined())
        self._history = None


def _took_ms(call: UpstreamCall | None, now: float) -> int:
    return 0 if call is None else round(((call.ended_at or now) - call.started_at) * 1000)
