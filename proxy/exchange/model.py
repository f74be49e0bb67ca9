"""An exchange: one request, its way through the stages, and what is learned about it.

Rules: one object per call, made by the edge, handed from stage to stage, settled once. It keeps the settings snapshot
it began with. Bodies are bytes when they are complete, and a `Body` when they arrive piece by piece.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from proxy.exchange.asked import NOTHING, Asked
from proxy.exchange.cache_control import NONE, Directives
from proxy.exchange.headers import HeaderList
from proxy.exchange.history import History
from proxy.exchange.prefixes import Finding
from proxy.exchange.provider import NO_FACTS, UNKNOWN, CallFacts, Json, Operation, Provider, UsageReader
from proxy.exchange.record import Outcome
from proxy.exchange.tenant import NOBODY, Tenant
from proxy.exchange.usage import Usage

if TYPE_CHECKING:
    from config.caching import OperationPolicy
    from config.schema import Settings


class Body(Protocol):
    """A body that arrives piece by piece."""

    async def read(self) -> bytes | None:
        """The next piece, never empty; None at the proper end. Raises UpstreamError when it was cut off."""
        ...

    async def aclose(self) -> None:
        """Give the rest up. Safe to call at any time, more than once."""
        ...


class Pours(ABC):
    """A body that can hand its pieces over inside the very turn of the loop in which they arrive."""

    @abstractmethod
    async def pour(self, take: Callable[[bytes], bool]) -> bool:
        """Hand every piece to `take`, until the end (True), or until it returns False: it wants no more for now
        (False), and `pour` may be called again. `take` must not raise. Raises UpstreamError as `read` does."""


class Ending(Enum):
    """How a body ended."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"  # upstream broke off
    ABANDONED = "abandoned"  # nobody wanted the rest


class Tap(Protocol):
    """Watches a response's body. Synchronous and bounded; dropped when it raises."""

    def feed(self, chunk: bytes) -> None:
        """A piece that has just been sent on."""
        ...

    def end(self, ending: Ending) -> None:
        """No more comes. Called exactly once."""
        ...


@dataclass(slots=True)
class Request:
    """A request as the client sent it. `headers` lacks hop-by-hop fields; `target` is in origin-form.

    Its repr, like those of all that holds a client's words or credentials, does not show them.
    """

    method: str
    scheme: str  # "https" or "http": how the origin is to be spoken to
    host: str  # without port, lower case
    port: int
    target: str = field(repr=False)  # path and query
    headers: HeaderList = field(repr=False)
    body: bytes | Body = field(repr=False)
    http_version: str = "1.1"

    def changed(self, headers: HeaderList, body: "bytes | Body") -> "Request":
        """The same request with other fields or another body. dataclasses.replace takes five times as long."""
        return Request(self.method, self.scheme, self.host, self.port, self.target, headers, body, self.http_version)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query without its question mark."""
        return self.target.partition("?")[2]

    @property
    def authority(self) -> str:
        """Host and, unless it is the scheme's default, port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.port == (443 if self.scheme == "https" else 80):
            return host
        return f"{host}:{self.port}"


@dataclass(slots=True)
class Response:
    """A response. `headers` lacks hop-by-hop and framing fields: the wire codec frames the body anew.

    `content_length` is what the origin declared for a streamed body (or for HEAD), so that it can be declared again.
    `taps` are shown each piece by whoever pumps the body, after it was sent.
    """

    status: int
    headers: HeaderList = field(repr=False)
    body: bytes | Body = field(repr=False)
    content_length: int | None = None
    taps: list[Tap] = field(default_factory=list)


@dataclass(slots=True)
class UpstreamCall:
    """One call that was really made upstream. Shared by every exchange that it answers.

    Its usage is final once `ended`; who needs it then registers with `when_ended`.
    """

    started_at: float  # monotonic seconds
    status: int = 0
    first_byte_at: float | None = None
    ended_at: float | None = None
    complete: bool = False  # a success status and the provider's own end marker
    reader: UsageReader | None = None
    usage: Usage | None = None
    attempts: int = 0
    bytes_received: int = 0
    prefix: Finding | None = None  # None: its prompt was not looked at
    ended: bool = False
    _waiting: list[Callable[[], None]] = field(default_factory=list)

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Call back when the call has ended; at once if it has."""
        if self.ended:
            callback()
        else:
            self._waiting.append(callback)

    def end(self, now: float) -> None:
        """The last byte came, or never will. Further calls do nothing."""
        if self.ended:
            return
        self.ended, self.ended_at = True, now
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()


@dataclass(slots=True)
class Pieced:
    """What an answer came to that was put together from parts: some were stored, some came with calls that other
    exchanges shared. Nano-dollars; None: unpriced."""

    usage: Usage | None = None  # of the whole answer; None: what the exchange's own call used
    paid_nanousd: int | None = 0  # this exchange's share of shared calls
    saved_nanousd: int | None = 0

    def pay(self, nanousd: int | None) -> None:
        """One more share."""
        known = self.paid_nanousd is not None and nanousd is not None
        self.paid_nanousd = (self.paid_nanousd or 0) + (nanousd or 0) if known else None


type Watcher = Callable[[Response], Tap | None]


@dataclass(slots=True)
class Exchange:
    """One call on its way. Stages fill it in path order; see ARCHITECTURE.md for who writes what."""

    id: str
    request: Request
    settings: "Settings"
    client: str  # the caller's address, without port
    received_at: float  # monotonic seconds: the request's last byte (or its head, if the body is streamed)
    wall_time: float  # seconds since the epoch
    tenant: Tenant = NOBODY

    # identify
    provider: Provider | None = None
    operation: Operation = UNKNOWN
    facts: CallFacts = NO_FACTS
    json: Json | None = field(default=None, repr=False)  # None again once the answer has begun
    labels: dict[str, str] = field(default_factory=dict)
    asked: Asked = NOTHING
    directives: Directives = NONE
    policy: "OperationPolicy | None" = None  # with nothing left open; None: no provider
    namespace: str = ""
    answers_again: bool = False  # policy lets it be cached and collapsed
    would_answer_again: bool = False  # only `cache.sampling: deterministic` forbids it
    collapses: bool = False
    by_element: bool = False  # an array of inputs may be answered by element
    ttl_s: float = 0.0

    # fingerprint
    credential: str = ""  # keyed digest, hexadecimal; empty without a credential
    fingerprint: bytes | None = None  # None: this call has no twin

    # cache, collapse, upstream
    epoch: int = 0  # the highest stamp of a rule of invalidation that was known before its upstream call
    outcome: Outcome = Outcome.BYPASS
    cache_status: str = ""  # RFC 9211 parameters
    age_s: int | None = None  # of the cached answer that was replayed
    stored_usage: Usage | None = None  # its tokens
    stored_cost_nanousd: int | None = None  # what it had cost
    replayed: object | None = field(default=None, repr=False)  # the store's entry that answers this call
    landed_lately: bool = False  # another replica that made this very call has its answer, since a moment ago
    seen_before: bool = False  # `would_answer_again`, and an identical call was answered within the ttl
    call: UpstreamCall | None = None
    pieced: Pieced | None = None  # None: answered in one piece
    history: History | None = field(default=None, repr=False)  # what a flight keeps of the answer's body as it comes
    watchers: list[Watcher] = field(default_factory=list)  # asked for taps when an upstream response arrives

    # the way back
    status: int = 0
    error: str = ""
    first_byte_at: float | None = None
    request_bytes: int = 0  # of a body that was let go
    response_bytes: int = 0
    on_finished: list[Callable[["Exchange"], None]] = field(default_factory=list)
    finished_at: float | None = None

    def on_behalf(self, call_id: str, request: Request, received_at: float, wall_time: float) -> "Exchange":
        """Another call for the same caller, known as this one is and allowed to be answered again; nothing has become
        of it yet, and nobody waits for it to be settled."""
        return Exchange(
            id=call_id,
            request=request,
            settings=self.settings,
            client=self.client,
            received_at=received_at,
            wall_time=wall_time,
            tenant=self.tenant,
            provider=self.provider,
            operation=self.operation,
            facts=self.facts,
            labels=self.labels,
            asked=self.asked,
            policy=self.policy,
            namespace=self.namespace,
            answers_again=True,
            ttl_s=self.ttl_s,
            credential=self.credential,
            epoch=self.epoch,
        )

    def let_body_go(self) -> None:
        """The answer has begun, so the request is never sent again: its body, and what was parsed of it, are not held
        for as long as the answer streams. A prompt may be a megabyte, and its JSON ten times that."""
        self.request_bytes = self.body_size
        self.json = None
        if isinstance(self.request.body, bytes):
            self.request.body = b""

    @property
    def body_size(self) -> int:
        """How long the request's body is, or was; 0 for one that arrived piece by piece."""
        body = self.request.body
        return self.request_bytes or (len(body) if isinstance(body, bytes) else 0)

    def finish(self, now: float) -> None:
        """The client has its answer, or is gone. Runs `on_finished` once."""
        if self.finished_at is not None:
            return
        self.finished_at = now
        callbacks, self.on_finished = self.on_finished, []
        for callback in callbacks:
            callback(self)
        if self.call is None:
            self.watchers = []  # nothing went upstream that they could watch
