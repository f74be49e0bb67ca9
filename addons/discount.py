"""What a provider's prompt cache saved of a call's price, and what was lost by a prompt whose beginning changes.

Rules: what was served is what the provider reports, priced as the price book says. What was lost is an estimate, and a
careful one: characters become tokens by the call's own ratio; nothing is lost below what providers cache at all, nor
within the error of such an estimate, nor where cached tokens cost as much as others; and a call has one cause.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from proxy.exchange.model import Exchange
from proxy.exchange.prefixes import Finding
from proxy.exchange.record import Outcome, PromptCache
from proxy.exchange.usage import Usage

SHORTEST_TOKENS: Final = 1_024
STEP_TOKENS: Final = 128
_LEAST_TOKENS: Final = 256  # less may be an error of the estimate,
_LEAST_SHARE: Final = 0.1  # and so may this share of what is estimated

UNMARKED: Final = "unmarked"  # the provider caches only what is marked, and nothing is
EXPIRED: Final = "expired"  # the last call that began so was too long ago
UNSERVED: Final = "unserved"  # nothing broke it, and yet it was not served

type PriceOf = Callable[[Exchange, Usage | None], int | None]


def prompt_cache_of(exchange: Exchange, price_of: PriceOf) -> PromptCache | None:
    """What is to be said of a call that went upstream; None when there is nothing."""
    call = exchange.call
    if call is None or exchange.outcome in (Outcome.HIT, Outcome.COLLAPSED) or exchange.pieced is not None:
        return None
    usage, finding = call.usage, call.prefix
    if usage is None or usage.estimated or not 200 <= call.status < 300:
        return None
    saved: int | None = 0
    if usage.cache_read_tokens or usage.cache_write_tokens:
        plain = replace(usage, cache_read_tokens=0, cache_write_tokens=0, cache_write_1h_tokens=0)
        saved = _less(price_of(exchange, plain), price_of(exchange, usage))
    elif finding is None:
        return None
    if finding is None:
        return PromptCache(saved)
    tokens, kind = lost_tokens(finding, usage)
    lost = _price_of_loss(exchange, usage, tokens, price_of) if tokens else 0
    shared = _tokens(finding, usage, finding.shared)
    if not tokens or lost == 0:
        return PromptCache(saved, shared) if saved != 0 or shared else None
    is_break = kind == finding.kind
    return PromptCache(saved, shared, tokens, lost, kind, finding.at if is_break else 0, finding.of if is_break else 0)


def lost_tokens(finding: Finding, usage: Usage) -> tuple[int, str]:
    """How many tokens the provider could have served besides those it did, and what that is due to."""
    served = usage.cache_read_tokens
    shared = max(served, _in_steps(_tokens(finding, usage, finding.shared)))
    losses = (
        (_in_steps(_tokens(finding, usage, finding.whole)) - shared, finding.kind),
        (_in_steps(_tokens(finding, usage, finding.expired)) - shared, EXPIRED),
        (shared - served, UNMARKED if finding.is_unmarked else UNSERVED),
    )
    tokens, kind = max(losses, key=lambda loss: loss[0])
    is_sure = tokens >= max(_LEAST_TOKENS, _LEAST_SHARE * usage.input_tokens)
    return (min(tokens, usage.input_tokens - served), kind) if is_sure else (0, "")


def _tokens(finding: Finding, usage: Usage, characters: int) -> int:
    return characters * usage.input_tokens // finding.size if finding.size else 0


def _in_steps(tokens: int) -> int:
    """As providers cache them."""
    return 0 if tokens < SHORTEST_TOKENS else tokens // STEP_TOKENS * STEP_TOKENS


def _price_of_loss(exchange: Exchange, usage: Usage, tokens: int, price_of: PriceOf) -> int | None:
    """What the call cost more than it would have with these tokens read from the provider's cache."""
    written = max(0, usage.cache_write_tokens - tokens)  # what is read need not be written again
    better = replace(
        usage,
        cache_read_tokens=usage.cache_read_tokens + tokens,
        cache_write_tokens=written,
        cache_write_1h_tokens=min(usage.cache_write_1h_tokens, written),
    )
    return _less(price_of(exchange, usage), price_of(exchange, better))


def _less(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one - other
