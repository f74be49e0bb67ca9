"""A whole embedding call that goes upstream as it came, watched by the stage `batch`: its parts are stored, and given
to whoever waits for the same inputs. It pays for itself, as any other call.
"""

from addons.batch.calls import Calls, release
from addons.batch.parts import Failed, Part, Plan, Wanted
from addons.batch.reading import carried, parts_of, read
from proxy.exchange.headers import HeaderList
from proxy.exchange.model import Ending, Exchange, Response, Tap, UpstreamCall


class Passing:
    """Watches a whole call that goes upstream as it came. What it learns is for all who wait for the same inputs."""

    def __init__(self, calls: Calls, plan: Plan, exchange: Exchange, *, shared: bool) -> None:
        self._calls = calls
        self._plan = plan
        self._exchange = exchange
        self._wanted = {key: Wanted(key, each, None, exchange.epoch) for key, each in plan.elements().items()}
        self._headers: HeaderList = []
        self._pieces: list[bytes] = []
        self._room = calls.max_answer_bytes
        self._is_open = self._is_over = False
        frame = plan.frame
        frame.under_way += 1
        self._fingerprint = exchange.fingerprint or b""
        frame.passing[self._fingerprint] += 1
        if shared:
            for key, wanted in self._wanted.items():
                frame.pending.setdefault(key, wanted)

    def watch(self, response: Response) -> Tap | None:
        """See proxy.exchange.model.Watcher."""
        if not 200 <= response.status < 300 or self._is_over:
            return None
        self._is_open = True
        self._headers = list(response.headers)
        return self

    def feed(self, chunk: bytes) -> None:
        """See proxy.exchange.model.Tap."""
        self._room -= len(chunk)
        if self._room >= 0:
            self._pieces.append(chunk)

    def end(self, ending: Ending) -> None:
        """See proxy.exchange.model.Tap."""
        body = b"".join(self._pieces) if ending is Ending.COMPLETE and self._room >= 0 else None
        self._conclude(body)

    def close_with(self, call: UpstreamCall | None) -> None:
        """The call is over, or its client has left: it may then still be answered."""
        if call is None:
            self._close()
        else:
            call.when_ended(self._close)

    def _close(self) -> None:
        """If an answer has begun, its end has its say first."""
        if not self._is_open:
            self._conclude(None)

    def _conclude(self, body: bytes | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._pieces = []
        calls, frame = self._calls, self._plan.frame
        found: list[tuple[Wanted, Part]] = []
        try:
            found = self._parts(body)
        finally:
            for wanted, part in found:
                wanted.resolve(part)
            for wanted in self._wanted.values():
                wanted.resolve(Failed())
            if found:
                calls.keep(frame, self._exchange, found, self._exchange.call)
            else:
                release(frame, self._wanted.values())
            frame.passing[self._fingerprint] -= 1
            if not frame.passing[self._fingerprint]:
                del frame.passing[self._fingerprint]
            calls.landed(frame)

    def _parts(self, body: bytes | None) -> list[tuple[Wanted, Part]]:
        exchange, plan, call = self._exchange, self._plan, self._exchange.call
        elements = plan.asked.elements
        answered = read(plan, call, self._headers, body, len(elements))
        if answered is None or call is None:
            return []
        cost = self._calls.price_of(exchange, call.usage)
        fields = carried(self._headers)
        parts = dict(zip(plan.keys, parts_of(answered, elements, cost, call.usage, fields), strict=True))
        return [(wanted, parts[key]) for key, wanted in self._wanted.items()]
