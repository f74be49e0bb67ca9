"""meter: what every call cost, what it saved and how long it took; one ledger row, one set of metrics, one log line.

Stands at the top, so that nothing escapes it. A call is settled when both its client and its upstream call have ended:
the price of a flight is known only when its last byte has come, whoever has left by then.
"""

from collections.abc import Callable
from typing import Protocol

import structlog

from addons.discount import prompt_cache_of
from proxy.exchange.chain import Step
from proxy.exchange.headers import HeaderList, without
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import FINGERPRINT_BYTES, NANO_PER_USD, CallRecord, Outcome
from proxy.exchange.usage import Usage

log = structlog.get_logger(__name__)


class Pricing(Protocol):
    """How usage becomes money."""

    def cost(self, exchange: Exchange, usage: Usage | None) -> int | None:
        """Nano-dollars; None when the price is unknown."""
        ...

    @property
    def version(self) -> str:
        """Which prices these are."""
        ...


type Settled = Callable[[CallRecord], None]


class Meter(Step):
    """The stage."""

    name = "meter"

    def __init__(self, pricing: Pricing, settled: Settled, *, response_headers: bool) -> None:
        self._pricing = pricing
        self._settled = settled
        self._response_headers = response_headers

    def before(self, exchange: Exchange) -> None:
        exchange.on_finished.append(self.finished)

    def after(self, exchange: Exchange, response: Response) -> Response:
        if self._response_headers:
            # A stored answer's own Age was true when it was stored.
            kept = response.headers if exchange.age_s is None else without(response.headers, (b"age",))
            response.headers = [*kept, *self._said(exchange)]
        return response

    def said_of_hit(self, cache_status: str, age_s: int) -> HeaderList:
        """What stands last in the head of an answer from the cache."""
        if not self._response_headers:
            return []
        return [*_outcome_fields(Outcome.HIT, cache_status, age_s), _cost_field(0)]

    def _said(self, exchange: Exchange) -> HeaderList:
        """What the client is told: RFC 9211's Cache-Status, Age, and the cost where it is known by now."""
        outcome = exchange.outcome
        said = _outcome_fields(outcome, exchange.cache_status or "fwd=bypass", exchange.age_s)
        cost: int | None = 0
        if outcome not in (Outcome.HIT, Outcome.COLLAPSED):
            if exchange.pieced is not None and exchange.pieced.usage is not None:
                return [*said, _cost_field(exchange.pieced.paid_nanousd)]
            if exchange.call is None or not exchange.call.ended:
                return said
            cost = self._pricing.cost(exchange, exchange.call.usage)
        return [*said, _cost_field(cost)]

    def finished(self, exchange: Exchange) -> None:
        """Settle it now, or when its upstream call has ended."""
        if exchange.call is None:
            self._settle(exchange)
        else:
            exchange.call.when_ended(lambda: self._settle(exchange))

    def settle_again(
        self,
        record: CallRecord,
        call_id: str,
        started_at: float,
        first_byte_s: float,
        total_s: float,
        *,
        labels: dict[str, str],
    ) -> None:
        """Settle a hit that repeats the one of `record`. Seconds from the request's last byte; never raises."""
        first_byte_ms = first_byte_s * 1000
        try:
            self._settled(
                record.again(
                    call_id,
                    started_at,
                    first_byte_ms=first_byte_ms,
                    total_ms=total_s * 1000,
                    overhead_ms=first_byte_ms,
                    price_version=self._pricing.version,
                    labels=labels,
                )
            )
        except Exception as failure:
            log.error("settle_failed", exchange=call_id, error=type(failure).__name__, exc_info=failure)

    def _settle(self, exchange: Exchange) -> None:
        try:
            self._settled(self.record(exchange))
        except Exception as failure:
            # The client has its answer: neither prices nor the ledger may take that back.
            log.error("settle_failed", exchange=exchange.id, error=type(failure).__name__, exc_info=failure)

    def record(self, exchange: Exchange) -> CallRecord:
        """What the ledger is to know of this call, as far as it has come."""
        call = exchange.call
        outcome = Outcome.ERROR if exchange.error and exchange.outcome is not Outcome.REFUSED else exchange.outcome
        usage = exchange.stored_usage if exchange.outcome is Outcome.HIT else (call.usage if call else None)
        paid: int | None = 0
        saved: int | None = 0
        if exchange.outcome is Outcome.HIT:
            saved = exchange.stored_cost_nanousd
        elif exchange.outcome is Outcome.COLLAPSED:
            saved = self._pricing.cost(exchange, usage) if outcome is not Outcome.ERROR else 0
        elif call is not None:
            paid = self._pricing.cost(exchange, usage)
        if (pieced := exchange.pieced) is not None:
            if pieced.usage is not None:
                usage, paid = pieced.usage, 0
                saved = pieced.saved_nanousd if outcome is not Outcome.ERROR else 0
            paid = None if paid is None or pieced.paid_nanousd is None else paid + pieced.paid_nanousd
        return self._record(exchange, outcome, usage or Usage(), paid, saved)

    def _record(
        self, exchange: Exchange, outcome: Outcome, usage: Usage, paid: int | None, saved: int | None
    ) -> CallRecord:
        received = exchange.received_at
        finished = exchange.finished_at if exchange.finished_at is not None else received
        first = exchange.first_byte_at
        return CallRecord(
            id=exchange.id,
            started_at=exchange.wall_time,
            client=exchange.client,
            provider=exchange.provider.name if exchange.provider is not None else "unknown",
            operation=exchange.operation.name,
            model=usage.model or exchange.facts.model,
            status=exchange.status,
            outcome=outcome,
            streamed=exchange.facts.stream,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            audio_tokens=usage.input_audio_tokens + usage.output_audio_tokens,
            estimated=usage.estimated,
            cost_nanousd=paid,
            saved_nanousd=saved,
            potential_nanousd=paid if exchange.seen_before else 0,
            first_byte_ms=None if first is None else (first - received) * 1000,
            total_ms=(finished - received) * 1000,
            overhead_ms=_overhead_s(exchange, finished) * 1000,
            request_bytes=exchange.body_size,
            response_bytes=exchange.response_bytes,
            service_tier=usage.service_tier,
            price_version=self._pricing.version,
            error=exchange.error,
            credential=exchange.credential[:12],
            fingerprint=exchange.fingerprint[:FINGERPRINT_BYTES].hex() if exchange.fingerprint is not None else "",
            labels=exchange.labels,
            prompt_cache=prompt_cache_of(exchange, self._pricing.cost),
        )


def _overhead_s(exchange: Exchange, finished: float) -> float:
    """Time before the upstream call began, and between its first byte and the client's; all of it for a hit."""
    first = exchange.first_byte_at if exchange.first_byte_at is not None else finished
    call = exchange.call
    if call is None or call.first_byte_at is None:
        return max(0.0, first - exchange.received_at) if exchange.outcome is Outcome.HIT else 0.0
    before = call.started_at - exchange.received_at
    after = first - call.first_byte_at
    return max(0.0, before) + max(0.0, after)


def _outcome_fields(outcome: Outcome, cache_status: str, age_s: int | None) -> HeaderList:
    fields = [(b"cache-status", b"skinflint; " + cache_status.encode()), (b"x-skinflint-cache", outcome.value.encode())]
    if age_s is not None:
        fields.append((b"age", b"%d" % age_s))
    return fields


def _cost_field(nanousd: int | None) -> tuple[bytes, bytes]:
    return b"x-skinflint-cost-usd", b"unpriced" if nanousd is None else _usd(nanousd)


def _usd(nanousd: int) -> bytes:
    """Plain decimal dollars without trailing zeros: 0.0000125, 0."""
    whole, rest = divmod(nanousd, NANO_PER_USD)
    return (b"%d.%09d" % (whole, rest)).rstrip(b"0").rstrip(b".") if rest else b"%d" % whole
