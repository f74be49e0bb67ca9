"""repeats: answers a call that says the same as a call that was a hit before, without going through the chain again.

Not a stage, but what the stages from meter to cache said about a call, kept by a digest of everything they looked at:
who asks and whom, the body as it came, and the head but for what names or traces the single call. It belongs to one
settings snapshot, like the stages. What may change between two such calls is looked at each time: the store's entry
must be the very one that answered before, and still be fresh enough for the client and the policy. So the answer is the
one the chain would give, bytes and metering alike; a test compares the two. Stages of others must see every call: with
any above the cache, this is not used.
"""

import marshal
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from addons.cache import CacheStage
from addons.compress import Compress
from addons.fingerprint import Fingerprint
from addons.identify import Identify
from addons.meter import Meter
from proxy.exchange import cache_control
from proxy.exchange.cache_control import Directives, Use
from proxy.exchange.chain import Stage
from proxy.exchange.digest import KeyedDigest
from proxy.exchange.headers import HeaderList
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import Outcome
from proxy.stores.base import Entry, Peeking
from proxy.wire.events import RequestHead
from proxy.wire.http1 import complete_head

_RETOLD = (Meter, Identify, Compress, Fingerprint, CacheStage)  # stages that say the same of the same call
# These differ from call to call and say nothing about it: no stage above the cache reads them, and the fingerprint does
# without them. Unless the settings make a label of one.
VOLATILE = frozenset(
    {
        b"amz-sdk-invocation-id",
        b"baggage",
        b"idempotency-key",
        b"sentry-trace",
        b"traceparent",
        b"tracestate",
        b"x-amzn-trace-id",
        b"x-b3-spanid",
        b"x-b3-traceid",
        b"x-client-request-id",
        b"x-cloud-trace-context",
        b"x-correlation-id",
        b"x-datadog-parent-id",
        b"x-datadog-trace-id",
        b"x-ms-client-request-id",
        b"x-request-id",
    }
)
_MARSHAL_VERSION = 2  # type, length and bytes of each part, without references
_BODY_BYTES = 262_144  # of a request; digesting a larger one holds others up, and saves little of what the chain costs
_ONE_IN = 8
_OVERHEAD_BYTES = 2_048  # what one call takes besides its answer's body: about fifty small objects


class Repeat:
    """One call whose answer is known. `head` holds for one moment, see `KnownRepeats.find`."""

    __slots__ = ("_meter", "_record", "body", "directives", "entry", "fields", "fingerprint", "head", "moment",
                 "status", "ttl_s")  # fmt: skip

    def __init__(self, exchange: Exchange, status: int, fields: HeaderList, body: bytes, meter: Meter) -> None:
        self.fingerprint = exchange.fingerprint or b""
        self.directives: Directives = cache_control.parse(exchange.request.headers)
        self.ttl_s = exchange.ttl_s
        self.entry = weakref.ref(exchange.replayed)  # what the store has dropped is not kept alive here
        self.status = status
        self.fields = fields
        self.body = body
        self.head = b""
        self.moment = (-1, -1)  # whole seconds of age, and left to live
        self._meter = meter
        self._record = meter.record(exchange)

    def settle(self, call_id: str, started_at: float, first_byte_s: float, total_s: float) -> None:
        """See proxy.exchange.repeats.Replay."""
        self._meter.settle_again(self._record, call_id, started_at, first_byte_s, total_s)


class KnownRepeats:
    """Bounded by bytes; once full, few are let in, and what was unused for longest goes."""

    def __init__(
        self, key: bytes, store: Peeking, meter: Meter, limit_bytes: int, labelled: Iterable[str] = ()
    ) -> None:
        """`key`: 32 random bytes; the calls' digests are keyed with it. `labelled`: fields that become labels."""
        self._digest = KeyedDigest(key, b"repeat")
        self._mark = object()  # of this one's notes
        self._ignored = VOLATILE - {name.lower().encode() for name in labelled}
        self._peek = store.peek
        self._meter = meter
        self._limit = limit_bytes
        self._used = 0
        self._candidates = 0
        self._known: OrderedDict[bytes, Repeat] = OrderedDict()

    def key(self, caller: bytes, head: RequestHead, body: bytes) -> bytes | None:
        """Each part says where it ends, so that no two calls run together. What a head comes to is noted in it: a
        connection gives the same object for the same head."""
        if len(body) > _BODY_BYTES:
            return None
        noted = head.digested
        if noted is None or noted[0] is not self._mark:
            noted = head.digested = (self._mark, self._digest(self._said_by(head)))
        return self._digest(b"".join((caller, noted[1], body)))

    def _said_by(self, head: RequestHead) -> bytes:
        ignored = self._ignored
        fields = [pair for pair in head.headers if pair[0] not in ignored]
        return marshal.dumps((head.method, head.target, head.authority, head.http_version, fields), _MARSHAL_VERSION)

    def find(self, key: bytes, now: float) -> Repeat | None:
        """The known call with its head as of `now`. Forgets it when the store no longer holds its answer."""
        known = self._known.get(key)
        if known is None:
            return None
        entry = self._peek(known.fingerprint)
        if entry is None or known.entry() is not entry:
            self._forget(key)
            return None
        age, ttl = entry.age(now), min(entry.ttl_s, known.ttl_s)
        if cache_control.judge(known.directives, age, ttl) is Use.NO:
            return None
        moment = (int(age), int(ttl - age))
        if moment != known.moment:
            said = self._meter.said_of_hit(cache_control.hit_status(age, ttl), moment[0])
            known.head = complete_head(known.status, [*known.fields, *said], len(known.body))
            known.moment = moment
        self._known.move_to_end(key)
        return known

    def remember(self, key: bytes, exchange: Exchange, response: Response) -> None:
        """Keep a hit that was answered in one piece."""
        entry, body = exchange.replayed, response.body
        if exchange.outcome is not Outcome.HIT or not isinstance(entry, Entry) or not isinstance(body, bytes):
            return
        if len(body) + _OVERHEAD_BYTES > self._limit // 8 or not 200 <= response.status < 300 or exchange.error:
            return
        said = self._meter.said_of_hit(exchange.cache_status, exchange.age_s or 0)
        fields = response.headers[: len(response.headers) - len(said)]
        if [*fields, *said] != response.headers:
            return
        self._forget(key)
        if self._used + len(body) + _OVERHEAD_BYTES > self._limit and not self._admits():
            return
        self._known[key] = Repeat(exchange, response.status, fields, body, self._meter)
        self._used += len(body) + _OVERHEAD_BYTES
        while self._used > self._limit:
            self._forget(next(iter(self._known)))

    def _admits(self) -> bool:
        """Once full, one in so many: or more calls than fit would push each other out before they come again."""
        self._candidates += 1
        return self._candidates % _ONE_IN == 0

    def _forget(self, key: bytes) -> None:
        repeat = self._known.pop(key, None)
        if repeat is not None:
            self._used -= len(repeat.body) + _OVERHEAD_BYTES


def can_repeat(stages: Sequence[Stage]) -> bool:
    """Nothing above the cache would say something new of a call that it has seen before."""
    for stage in stages:
        if type(stage) not in _RETOLD:
            return False
        if isinstance(stage, CacheStage):
            return True
    return False
