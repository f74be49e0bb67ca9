"""The request's Cache-Control (RFC 9111, section 5.2.1), and what it makes of an entry. Pure."""

from dataclasses import dataclass, replace
from enum import Enum
from operator import itemgetter
from typing import Final

from proxy.exchange.asked import Mode
from proxy.exchange.headers import HeaderList, joined


@dataclass(frozen=True, slots=True)
class Directives:
    """What the client allows. Ages in seconds; None: not said."""

    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    max_age: float | None = None
    max_stale: float | None = None
    min_fresh: float | None = None
    stale_if_error: float | None = None  # RFC 5861, section 4
    unread: bool = False  # not answered from the cache, though calls under way may be joined
    unkept: bool = False  # the answer is not stored


NONE = Directives()
_SAID: Final = frozenset({b"cache-control", b"pragma"})
_NAME: Final = itemgetter(0)


class Use(Enum):
    """What becomes of a stored answer."""

    FRESH = "fresh"
    STALE = "stale"  # older than its ttl, and the client said it would do
    RENEWED = "renewed"  # older than its ttl, within the policy's stale-while-revalidate
    NO = "no"


def parse(headers: HeaderList) -> Directives:
    """The request's directives. Unknown ones are ignored, malformed ages too."""
    if _SAID.isdisjoint(map(_NAME, headers)):
        return NONE  # nearly always: two stages ask, and joining nothing twice took each of them four times as long
    value = joined(headers, b"cache-control").lower()
    if not value:
        legacy = joined(headers, b"pragma").lower()
        return Directives(no_cache=True) if b"no-cache" in legacy else NONE
    said: dict[bytes, bytes] = {}
    for part in value.split(b","):
        name, _, argument = part.strip().partition(b"=")
        said[name] = argument.strip(b'" ')
    return Directives(
        no_store=b"no-store" in said,
        no_cache=b"no-cache" in said,
        only_if_cached=b"only-if-cached" in said,
        max_age=_seconds(said.get(b"max-age")),
        max_stale=_seconds(said[b"max-stale"] or b"31536000") if b"max-stale" in said else None,
        min_fresh=_seconds(said.get(b"min-fresh")),
        stale_if_error=_seconds(said.get(b"stale-if-error")),
    )


def narrowed(said: Directives, mode: Mode) -> Directives:
    """With what x-skinflint-cache asks."""
    match mode:
        case Mode.DEFAULT:
            return said
        case Mode.OFF:
            return replace(said, no_store=True)
        case Mode.READ:
            return replace(said, unkept=True)
        case Mode.WRITE:
            return replace(said, unread=True)
        case Mode.REFRESH:
            return replace(said, no_cache=True)


def _seconds(argument: bytes | None) -> float | None:
    if argument is None or not argument.isdigit():
        return None
    return float(min(int(argument), 31_536_000))


def hit_status(age_s: float, ttl_s: float) -> str:
    """Cache-Status' parameters for an answer from the cache (RFC 9211)."""
    return f"hit; ttl={int(ttl_s - age_s)}"


def judge(directives: Directives, age_s: float, ttl_s: float, renewed_s: float = 0.0) -> Use:
    """May an answer of this age, kept for this long, be used? `renewed_s`: for so long past its ttl it may while it is
    renewed (RFC 5861, section 3), unless the client has said how stale an answer may be."""
    if directives.max_age is not None and age_s > directives.max_age:
        return Use.NO
    remaining = ttl_s - age_s
    if directives.min_fresh is not None and remaining < directives.min_fresh:
        return Use.NO
    if remaining >= 0:
        return Use.FRESH
    if directives.max_stale is not None:
        return Use.STALE if -remaining <= directives.max_stale else Use.NO
    return Use.RENEWED if -remaining <= renewed_s else Use.NO


def will_do(directives: Directives, age_s: float, ttl_s: float, window_s: float) -> bool:
    """May a stored answer take the place of an error? `window_s`: for so long past its ttl, unless the client says
    otherwise (RFC 5861, section 4)."""
    if directives.no_cache or directives.unread or directives.min_fresh is not None:
        return False
    window = window_s if directives.stale_if_error is None else directives.stale_if_error
    return age_s - ttl_s <= window
