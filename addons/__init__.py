"""The stages of the way, one a file, and their order. This list is the data path: read it top to bottom.

Third parties add stages through the entry point group `skinflint.addons`: each names a callable without arguments that
returns a Stage; they stand after `identify`, in the order of their names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from addons.ask_usage import AskUsage
from addons.attribution import Attribution
from addons.batch.stage import Batch
from addons.cache import CacheStage
from addons.cache_again import CacheAgain
from addons.collapse import Collapse, Peers
from addons.compress import Compress, TowardsOrigin
from addons.fingerprint import Fingerprint
from addons.identify import Identify
from addons.meter import Meter, Pricing, Settled
from addons.observe import Observe
from addons.prefixes import Prefixes
from addons.renewals import Renewals
from addons.repeats import KnownRepeats, can_repeat
from addons.retry import Retry
from config.schema import Settings
from proxy.exchange.chain import Stage
from proxy.exchange.model import Exchange
from proxy.providers.registry import Registry
from proxy.semantic.state import SemanticState
from proxy.stores.base import Peeking, Store
from proxy.stores.rules import Rules
from proxy.tasks import TaskSet

type Scope = Callable[[Exchange], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the stages are made of."""

    registry: Registry
    pricing: Pricing
    settled: Settled
    store: Store
    rules: Rules
    tasks: TaskSet
    fingerprint_key: bytes
    extra: tuple[Stage, ...] = ()
    peers: Peers | None = None  # None: no other worker's call could be joined
    semantic: SemanticState = field(default_factory=SemanticState)  # idle unless a route asks for it


def chain(settings: Settings, parts: Parts) -> list[Stage]:
    """The stages in path order, outermost first."""
    meter = Meter(parts.pricing, parts.settled, response_headers=settings.cache.response_headers)
    renewals = Renewals(parts.tasks, meter.finished, settings.cache.background_calls)
    cache = CacheStage(
        parts.store, settings, parts.tasks, parts.pricing.cost, renewals, stamp=lambda: parts.rules.stamp
    )
    fingerprint = Fingerprint(parts.fingerprint_key, settings.cache, settings.access.share)
    return [
        meter,
        Identify(parts.registry, settings),
        *parts.extra,
        Compress(settings.compression),
        fingerprint,
        cache,
        Batch(
            parts.fingerprint_key,
            fingerprint.scope,
            parts.store,
            settings,
            tasks=parts.tasks,
            price_of=parts.pricing.cost,
        ),
        *_semantic(settings, parts, fingerprint.scope, cache),
        Collapse(settings, parts.tasks, parts.peers),
        *([] if parts.peers is None else [CacheAgain(cache)]),
        # One upstream call may now serve many exchanges.
        Observe(parts.tasks),
        Prefixes(settings.cost.prompt_cache_max_bytes),
        AskUsage(enabled=settings.cost.ask_usage),
        Retry(settings),
        TowardsOrigin(settings),
    ]


def _semantic(settings: Settings, parts: Parts, scope: Scope, cache: CacheStage) -> list[Stage]:
    """Its stage, where any policy wants it."""
    policies = (*settings.cache.operations.values(), *(route.policy for route in settings.routes))
    if all(policy.semantic in (None, "off") for policy in policies):
        return []
    from addons.semantic import Semantic  # noqa: PLC0415  # who does not use it has not loaded it

    return [Semantic(parts.fingerprint_key, scope, cache, parts.semantic, parts.tasks)]


def repeats(stages: list[Stage], settings: Settings, parts: Parts) -> KnownRepeats | None:
    """The short way for calls that these stages have seen before; None where there is none."""
    limit = settings.cache.memory.repeats_max_bytes
    meter = next((stage for stage in stages if isinstance(stage, Meter)), None)
    if (
        meter is None
        or not limit
        or not settings.cache.enabled
        or not isinstance(parts.store, Peeking)
        or not can_repeat(stages)
    ):
        return None
    return KnownRepeats(parts.fingerprint_key, parts.store, meter, limit, Attribution(settings))
