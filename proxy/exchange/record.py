"""One call, as the ledger keeps it. Plain values only: it is handed to another thread and written as one row.

Money is whole micro-dollars (10^-6 USD) times 1000, i.e. nano-dollars, as integers: an embedding call can cost less
than a micro-dollar, and sums of integers are exact.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

NANO_PER_USD: Final = 1_000_000_000
FINGERPRINT_BYTES: Final = 12  # enough to tell all calls of a ledger apart; each row has them


class Outcome(StrEnum):
    """How a call was answered; the ledger's and the metrics' word for it."""

    HIT = "hit"  # from the cache; nothing was paid
    MISS = "miss"  # paid upstream, and could have been cached
    COLLAPSED = "collapsed"  # joined an identical call in flight; nothing was paid
    BYPASS = "bypass"  # paid upstream; not eligible for the cache
    REFRESH = "refresh"  # paid upstream to bring a stored answer up to date; no client waited for it
    REFUSED = "refused"  # answered here by policy
    ERROR = "error"  # no complete answer could be given


@dataclass(frozen=True, slots=True)
class PromptCache:
    """What the provider's own prompt cache did for a call that went upstream, and what it could have done."""

    saved_nanousd: int | None = 0  # by what it served, less what writing it cost; below 0: it cost more. None: unpriced
    shared_tokens: int = 0  # of the prompt's beginning, as in a recent call; an estimate
    lost_tokens: int = 0  # could have been served besides; an estimate
    lost_nanousd: int | None = 0  # what they cost more so; None: unpriced
    broken_by: str = ""  # tools, parameters, system, first_message, message; unmarked, expired, unserved
    broken_at: int = 0  # where in that part, in characters, about
    broken_of: int = 0  # of how many


@dataclass(slots=True)
class CallRecord:
    """What the ledger knows of one call. No prompt, answer, credential or full URL is ever in it."""

    id: str  # 26 characters, sortable by time
    started_at: float  # seconds since the epoch
    client: str  # address of the caller, without port
    provider: str
    operation: str
    model: str
    status: int  # as sent to the client; 0 when none was sent
    outcome: Outcome
    streamed: bool
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    audio_tokens: int = 0
    estimated: bool = False  # usage was counted from a cut-off stream
    cost_nanousd: int | None = 0  # paid for this call; None: unpriced (never 0 for an unknown price)
    saved_nanousd: int | None = 0  # not paid because of a hit or collapse; None: unpriced
    potential_nanousd: int | None = 0  # paid, and `cache.sampling: any` would have saved it
    first_byte_ms: float | None = None  # from the request's last byte to the response's first
    total_ms: float = 0.0
    overhead_ms: float = 0.0  # of total_ms, what was spent here and not upstream
    request_bytes: int = 0
    response_bytes: int = 0
    service_tier: str = ""
    price_version: str = ""
    error: str = ""  # a constant word: connection_timeout, client_disconnected, ...
    credential: str = ""  # keyed digest, 12 hexadecimal digits
    fingerprint: str = ""  # the first 24 hexadecimal digits; empty for a call that has no twin
    labels: dict[str, str] = field(default_factory=dict)
    prompt_cache: PromptCache | None = None  # None: there is nothing to say

    def again(
        self,
        call_id: str,
        started_at: float,
        *,
        first_byte_ms: float,
        total_ms: float,
        overhead_ms: float,
        price_version: str,
        labels: dict[str, str],
    ) -> "CallRecord":
        """The record of a call that repeated this one in all but these. By position: it is made for every hit."""
        return CallRecord(
            call_id, started_at, self.client, self.provider, self.operation, self.model, self.status, self.outcome,
            self.streamed, self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens,
            self.reasoning_tokens, self.audio_tokens, self.estimated, self.cost_nanousd, self.saved_nanousd,
            self.potential_nanousd, first_byte_ms, total_ms, overhead_ms, self.request_bytes, self.response_bytes,
            self.service_tier, price_version, self.error, self.credential, self.fingerprint,
            labels,
        )  # fmt: skip
