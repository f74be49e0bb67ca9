"""What the stage `batch` works with: parts of answers, who wants them, who pays for them, and what is under way.

A *frame* is everything about embedding calls that must be equal for their inputs to go together: who asks whom, for
which model, with which options. A *wanted* input is one that is under way, once for all who want it.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from proxy.exchange.chain import Handler
from proxy.exchange.elements import Asked, Element, ElementDialect
from proxy.exchange.errors import ExchangeError
from proxy.exchange.headers import HeaderList
from proxy.exchange.model import Exchange, Pieced, Response, UpstreamCall
from proxy.exchange.usage import Usage


@dataclass(frozen=True, slots=True)
class Part:
    """What belongs to one input of an answer. `usage` and `cost_nanousd` are its shares."""

    value: bytes = field(repr=False)
    template: bytes = field(repr=False)
    fields: HeaderList = field(repr=False)
    usage: Usage | None
    cost_nanousd: int | None
    age_s: float = 0.0
    left_s: float = 0.0  # until it is no longer fresh


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no part. With neither: whoever wants it makes a call of his own."""

    response: Response | None = field(default=None, repr=False)
    error: ExchangeError | None = None


class Order:
    """One exchange that waits for parts. What it pays for, it pays for even when its client has left."""

    def __init__(self, exchange: Exchange, call_next: Handler) -> None:
        self.exchange = exchange
        self.call_next = call_next
        self.pieced = Pieced()
        self.call: UpstreamCall | None = None  # as the ledger sees it: ends when all that it pays for has come
        self.is_gone = False
        self._owed = 0
        self._tokens = 0

    def owe(self) -> None:
        """It pays for one more input."""
        if self.call is None:
            self.call = self.exchange.call = UpstreamCall(started_at=time.monotonic())
            self.exchange.pieced = self.pieced
        self._owed += 1

    def pay(self, nanousd: int | None, usage: Usage | None, seen: UpstreamCall | None) -> None:
        """It has paid for one of them: what the call `seen` came to. None: nothing was called for it after all."""
        call = self.call
        assert call is not None
        self.pieced.pay(nanousd)
        if usage is not None and self.is_gone:
            self._tokens += usage.input_tokens
            self.pieced.usage = Usage(input_tokens=self._tokens, model=usage.model, service_tier=usage.service_tier)
        if seen is not None:
            call.started_at, call.status, call.first_byte_at = seen.started_at, seen.status, seen.first_byte_at
            call.attempts, call.complete = seen.attempts, seen.complete
        self._owed -= 1
        if not self._owed:
            call.end(time.monotonic())

    async def wait(self, wanted: "Sequence[Wanted]") -> None:
        """Until all of them have come, or have failed."""
        try:
            await asyncio.wait([each.result for each in wanted])
        except asyncio.CancelledError:
            self.is_gone = True
            raise


class Wanted:
    """One input that is under way, or about to be."""

    __slots__ = ("element", "epoch", "key", "payer", "result", "takers")

    def __init__(self, key: bytes, element: Element, payer: Order | None, epoch: int) -> None:
        self.key = key
        self.element = element
        self.payer = payer  # None: it goes with a whole call, which pays for itself
        self.takers = [] if payer is None else [payer]
        self.epoch = epoch  # of who asked first: see Entry.epoch
        self.result: asyncio.Future[Part | Failed] = asyncio.get_running_loop().create_future()
        if payer is not None:
            payer.owe()

    def is_still_wanted(self) -> bool:
        """False when all who wanted it have left. Somebody who is still there pays for it."""
        taker = next((each for each in self.takers if not each.is_gone), None)
        payer = self.payer
        if taker is not payer and payer is not None and payer.is_gone:
            payer.pay(0, None, None)
            self.payer = taker
            if taker is not None:
                taker.owe()
        return taker is not None

    def resolve(self, result: Part | Failed) -> None:
        """For all who wait for it."""
        if not self.result.done():
            self.result.set_result(result)


class Frame:
    """What is under way, and what is known, of calls whose inputs may go together."""

    def __init__(self, digest: bytes, most: int) -> None:
        self.digest = digest
        self.most = most  # inputs that may go together: fewer, once the provider has refused more
        self.pending: dict[bytes, Wanted] = {}
        self.passing: Counter[bytes] = Counter()  # fingerprints of whole calls under way
        self.waiting: list[Group] = []
        self.timer: asyncio.TimerHandle | None = None
        self.under_way = 0
        self.was_read = False  # an answer could be taken apart
        self.was_refused = False  # ... or could not: its calls stay whole from then on

    @property
    def is_idle(self) -> bool:
        """Nothing would be lost with it but what it has learnt."""
        return not (self.pending or self.passing or self.waiting or self.under_way)


@dataclass(frozen=True, slots=True)
class Plan:
    """A call taken apart. `keys`: where each input is stored, in the order of the inputs."""

    dialect: ElementDialect
    asked: Asked
    frame: Frame
    keys: list[bytes]

    def elements(self) -> dict[bytes, Element]:
        """Each input once, in order."""
        found: dict[bytes, Element] = {}
        for key, element in zip(self.keys, self.asked.elements, strict=True):
            found.setdefault(key, element)
        return found


@dataclass(slots=True)
class Group:
    """The inputs that one order sends upstream."""

    plan: Plan
    order: Order
    wanted: list[Wanted]


class Frames:
    """The frames met lately, at most `limit` of them and those in use."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._frames: OrderedDict[bytes, Frame] = OrderedDict()

    def get(self, digest: bytes, most: int) -> Frame:
        """The frame of this digest, a new one if need be."""
        frame = self._frames.get(digest)
        if frame is not None:
            self._frames.move_to_end(digest)
            return frame
        if len(self._frames) >= self._limit:
            oldest = next(iter(self._frames))
            if self._frames[oldest].is_idle:
                del self._frames[oldest]
            else:
                self._frames.move_to_end(oldest)
        frame = self._frames[digest] = Frame(digest, most)
        return frame
