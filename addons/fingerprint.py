"""fingerprint: who asks (a digest), and what is asked (a digest), so that two equal calls can be known as equal.

Both are keyed with a random key of this installation: neither can be turned back, or compared with another's. The
scope (tenant, provider, origin, credential or its sharing group) is part of the fingerprint, so answers never cross
credentials by default.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import parse_qsl

from config.caching import Cache
from proxy.exchange.canonical import (
    canonical_body,
    canonical_headers,
    canonical_query,
    length_prefixed,
    other_credentials,
)
from proxy.exchange.chain import Step
from proxy.exchange.digest import KeyedDigest
from proxy.exchange.headers import first
from proxy.exchange.model import Exchange

_DIGESTS_KEPT = 1024


class Fingerprint(Step):
    """The stage. `key`: 32 random bytes, kept in the data directory."""

    name = "fingerprint"

    def __init__(self, key: bytes, cache: Cache, share: Mapping[str, Sequence[str]] | None = None) -> None:
        """`share`: by group, the tenants that share answers."""
        self._key = key
        self._tenants = {tenant: group for group, members in (share or {}).items() for tenant in members}
        self._digest_call = KeyedDigest(key, b"fingerprint")
        self._is_caching = cache.enabled
        self._digests: dict[bytes, str] = {}
        self._groups = {digest: group for group, members in cache.share.items() for digest in members}

    def before(self, exchange: Exchange) -> None:
        provider, request = exchange.provider, exchange.request
        if provider is not None:
            query = dict(parse_qsl(request.query)) if request.query else {}
            credential = provider.credential(request.headers, query)
            exchange.credential = self._digest_credential(credential)
            is_wanted = self._is_caching or exchange.collapses
            if is_wanted and exchange.operation.answers and isinstance(request.body, bytes):
                others = other_credentials(request.headers, query, credential)
                exchange.fingerprint = self._fingerprint(exchange, provider.name, request.body, others)

    def _digest_credential(self, credential: bytes) -> str:
        """Of the credentials in use now the digests are kept; the credentials themselves are in memory anyway."""
        if not credential:
            return ""
        digest = self._digests.get(credential)
        if digest is None:
            if len(self._digests) >= _DIGESTS_KEPT:
                self._digests.clear()
            digest = self._digests[credential] = self._digest(credential)
        return digest

    def _digest(self, credential: bytes) -> str:
        return hashlib.blake2b(credential, key=self._key, person=b"credential", digest_size=16).hexdigest()

    def scope(self, exchange: Exchange) -> list[bytes]:
        """Everything that a fingerprint digests but the body: for who digests single parts of bodies."""
        provider, request = exchange.provider, exchange.request
        assert provider is not None
        query = dict(parse_qsl(request.query)) if request.query else {}
        others = other_credentials(request.headers, query, provider.credential(request.headers, query))
        return self._parts(exchange, provider.name, b"", others)

    def _fingerprint(self, exchange: Exchange, provider: str, body: bytes, others: Iterable[bytes]) -> bytes:
        canonical = canonical_body(body, first(exchange.request.headers, b"content-type") or b"", exchange.json)
        return self._digest_call(length_prefixed(self._parts(exchange, provider, canonical, others)))

    def _tenant(self, name: str) -> list[bytes]:
        """Answers do not cross tenants, unless they are of one group. Without tenants it is as if there were none."""
        if not name:
            return []
        group = self._tenants.get(name) or self._tenants.get("*")
        return [(f"tenants:{group}" if group is not None else f"tenant:{name}").encode()]

    def _parts(self, exchange: Exchange, provider: str, canonical: bytes, others: Iterable[bytes]) -> list[bytes]:
        request = exchange.request
        credential = exchange.credential
        group = self._groups.get(credential[:12])
        scope = f"group:{group}" if group is not None else f"credential:{credential}"
        return [
            *self._tenant(exchange.tenant.name),
            scope.encode(),
            exchange.namespace.encode(),
            provider.encode(),
            request.authority.encode(),
            request.method.encode(),
            request.path.encode("latin-1", "replace"),
            canonical_query(request.query).encode("latin-1", "replace"),
            canonical,
            *canonical_headers(request.headers),
            *others,
        ]
