"""identify: which provider, operation and model a call is for, what policy applies to it, and whose it is.

Unknown hosts, paths and bodies that are not what they say are left as they are: the call goes through untouched and is
counted as unknown.
"""

import re
from fnmatch import fnmatchcase

import orjson

from addons.attribution import Attribution
from config.caching import OperationPolicy
from config.schema import Route, Settings
from proxy.exchange import cache_control
from proxy.exchange.asked import FIELDS, asked
from proxy.exchange.chain import Step
from proxy.exchange.headers import HeaderList, without
from proxy.exchange.model import Exchange
from proxy.exchange.provider import UNKNOWN, Json
from proxy.providers.registry import Registry

_NO_POLICY = OperationPolicy()
_EMBEDDINGS = "embeddings"
# What some origins take for a way up or for an empty segment (`..;` is Java's), and the table of operations does not.
_AMBIGUOUS = re.compile(r"/\.{1,2}(;[^/]*)?(/|$)|//")
_DECODED = (("%2e", "."), ("%2E", "."), ("%2f", "/"), ("%2F", "/"), ("%5c", "/"), ("%5C", "/"), ("\\", "/"))


class Identify(Step):
    """The stage."""

    name = "identify"

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry = registry
        self._settings = settings
        self._policies: dict[tuple[int, str], OperationPolicy] = {}  # by route (-1: none) and operation
        self._attribution = Attribution(settings)
        self._own = FIELDS | self._attribution.fields
        self._namespace = settings.cache.namespace

    def before(self, exchange: Exchange) -> None:
        request = exchange.request
        provider = exchange.provider = self._registry.match(request.host, request.port)
        self._attribute(exchange)
        if provider is not None:
            path = request.path
            known = not is_ambiguous(path)
            operation = exchange.operation = provider.operation(request.method, path) if known else UNKNOWN
            if operation.json_request and isinstance(request.body, bytes):
                exchange.json = _parse(request.body)
            exchange.facts = provider.describe(operation, path, request.query, exchange.json)
            apply_policy(exchange, self._policy(exchange))

    def _policy(self, exchange: Exchange) -> OperationPolicy:
        """What applies to this call: the first route that matches, then the operation's own, then the general one."""
        routes, name = self._settings.routes, exchange.operation.name
        index = next((index for index, route in enumerate(routes) if _matches(route, exchange)), -1)
        policy = self._policies.get((index, name))
        if policy is None:
            said = routes[index].policy if index >= 0 else _NO_POLICY
            policy = self._policies[index, name] = effective(self._settings, name, said)
        return policy

    def _attribute(self, exchange: Exchange) -> None:
        """Whose it is, and what is asked of us; the fields that say so go no further."""
        headers: HeaderList = exchange.request.headers
        found = [pair for pair in headers if pair[0] in self._own]
        exchange.labels = self._attribution.labels(found)
        if exchange.tenant.labels:
            exchange.labels.update(exchange.tenant.labels)
        exchange.namespace = self._namespace
        exchange.directives = cache_control.parse(headers)
        if not found:
            return
        exchange.request.headers = without(headers, self._own)
        wanted = exchange.asked = asked(found)
        exchange.namespace = wanted.namespace or self._namespace
        exchange.directives = cache_control.narrowed(exchange.directives, wanted.mode)


def is_ambiguous(path: str) -> bool:
    """May the origin read this path in another way than we do? An encoded slash alone is an ordinary part of a name:
    Bedrock names models by encoded ARNs."""
    if "%" in path or "\\" in path:
        for coded, plain in _DECODED:
            path = path.replace(coded, plain)
    return ("//" in path or "/." in path) and _AMBIGUOUS.search(path) is not None


def _parse(body: bytes) -> Json | None:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None


def effective(settings: Settings, operation: str, route: OperationPolicy = _NO_POLICY) -> OperationPolicy:
    """The policy for an operation with nothing left open."""
    named = settings.cache.operations.get(operation, _NO_POLICY)
    general = OperationPolicy(
        cache=True,
        ttl_s=settings.cache.ttl_s,
        sampling=settings.cache.sampling,
        collapse=settings.collapse.enabled,
        tools=settings.cache.tools,
        max_messages=settings.cache.max_messages,
        max_bytes=settings.cache.max_bytes,
        sensitive=settings.cache.sensitive,
        stale_while_revalidate_s=settings.cache.stale_while_revalidate_s,
        stale_if_error_s=settings.cache.stale_if_error_s,
        refresh_ahead=settings.cache.refresh_ahead,
        buckets=settings.cache.buckets,
        elements=settings.batch.enabled,
        semantic="off",
    )
    return general.model_copy(update={**_said(named), **_said(route)})


def _said(policy: OperationPolicy) -> dict[str, object]:
    return {name: value for name in OperationPolicy.model_fields if (value := getattr(policy, name)) is not None}


def apply_policy(exchange: Exchange, policy: OperationPolicy) -> None:
    """Decide whether this call may be answered again."""
    operation, facts = exchange.operation, exchange.facts
    exchange.policy = policy
    if not operation.answers or facts.stateful or not policy.cache or (facts.has_tools and not policy.tools):
        return
    if operation.json_request and exchange.json is None and exchange.request.method == "POST":
        return
    if policy.max_messages is not None and facts.messages > policy.max_messages:
        return
    exchange.ttl_s = exchange.asked.ttl_s or policy.ttl_s or 0.0
    if operation.sampled and not facts.deterministic and policy.sampling == "deterministic":
        exchange.would_answer_again = True
        return
    exchange.answers_again = True
    exchange.collapses = bool(policy.collapse)
    exchange.by_element = operation.name == _EMBEDDINGS and bool(policy.elements)


def _matches(route: Route, exchange: Exchange) -> bool:
    return (
        (route.provider is None or (exchange.provider is not None and route.provider == exchange.provider.name))
        and (route.operation is None or route.operation == exchange.operation.name)
        and (route.model is None or fnmatchcase(exchange.facts.model, route.model))
        and (route.host is None or fnmatchcase(exchange.request.host, route.host))
        and all(exchange.labels.get(name) == value for name, value in route.label.items())
    )
