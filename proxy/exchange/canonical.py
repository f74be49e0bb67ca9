"""What makes two requests the same: the canonical form that a fingerprint digests.

Rules: everything counts unless it is known not to matter (deny-list, never allow-list). JSON bodies lose white space
and the order of keys, and nothing else; numbers keep their kind (1 and 1.0 differ). A body that cannot be parsed
without loss counts byte for byte. Every part is length-prefixed, so that no two different requests run together.
"""

import json
import re
import struct
from collections.abc import Iterable

import orjson

from proxy.exchange.headers import HeaderList

# Fields that say who carries a request, when and how, but not what is asked for. Credentials are digested apart.
IGNORED_FIELDS = frozenset(
    {
        b"accept-encoding",
        b"accept-language",
        b"amz-sdk-invocation-id",
        b"amz-sdk-request",
        b"api-key",
        b"authorization",
        b"baggage",
        b"cache-control",
        b"content-length",
        b"date",
        b"dnt",
        b"expect",
        b"forwarded",
        b"host",
        b"idempotency-key",
        b"origin",
        b"pragma",
        b"priority",
        b"referer",
        b"sentry-trace",
        b"traceparent",
        b"tracestate",
        b"user-agent",
        b"via",
        b"x-amz-content-sha256",
        b"x-amz-date",
        b"x-amz-security-token",
        b"x-amzn-trace-id",
        b"x-api-key",
        b"x-client-request-id",
        b"x-cloud-trace-context",
        b"x-correlation-id",
        b"x-goog-api-client",
        b"x-goog-api-key",
        b"x-ms-client-request-id",
        b"x-real-ip",
        b"x-request-id",
        b"x-server-timeout",
    }
)
IGNORED_PREFIXES = (
    b"x-stainless-",
    b"x-forwarded-",
    b"x-b3-",
    b"x-datadog-",
    b"x-skinflint-",
    b"sec-fetch-",
    b"sec-ch-",
    b"x-langsmith-",
)
# In the query: credentials, and what query-signed requests add.
IGNORED_QUERY = frozenset({"key", "x-amz-signature", "x-amz-date", "x-amz-credential", "x-amz-security-token"})

_BIG_INTEGER = re.compile(rb"\d{19}")
_BOUNDARY = re.compile(rb'boundary="?([^";,]+)"?', re.IGNORECASE)


def canonical_json(raw: bytes) -> bytes:
    """`raw` without white space and with sorted keys; `raw` itself if it cannot be read without loss.

    Lossy would be: integers beyond 64 bits (two seeds must not collide), and repeated members, of which a provider may
    take another one than we do. A compact body keeps its length, which shows at once that nothing was repeated.
    """
    try:
        if _BIG_INTEGER.search(raw):
            return json.dumps(
                json.loads(raw, object_pairs_hook=_unique), sort_keys=True, separators=(",", ":")
            ).encode()
        canonical = orjson.dumps(orjson.loads(raw), option=orjson.OPT_SORT_KEYS)
        if len(canonical) != len(raw):
            json.loads(raw, object_pairs_hook=_unique)
    except (ValueError, TypeError, RecursionError):
        return raw
    return canonical


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("repeated member")
    return members


def canonical_body(raw: bytes, content_type: bytes) -> bytes:
    """The body as it counts: JSON canonical, multipart without its random boundary, anything else as it is."""
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"application/json" or kind.endswith(b"+json") or (not kind and raw[:1] in (b"{", b"[")):
        return canonical_json(raw)
    if kind.startswith(b"multipart/") and (match := _BOUNDARY.search(content_type)):
        return raw.replace(b"--" + match[1], b"--boundary")
    return raw


def canonical_headers(headers: HeaderList) -> Iterable[bytes]:
    """The fields that may change the answer, in the order of their names."""
    for name, value in sorted(headers):
        if name not in IGNORED_FIELDS and not name.startswith(IGNORED_PREFIXES):
            if name == b"content-type":
                yield name + b":" + value.partition(b";")[0].strip().lower()
            else:
                yield name + b":" + value.strip()


def canonical_query(query: str) -> str:
    """The query without credentials and signatures; its order counts."""
    if not query:
        return ""
    kept = [part for part in query.split("&") if part.partition("=")[0].lower() not in IGNORED_QUERY]
    return "&".join(kept)


def length_prefixed(parts: Iterable[bytes]) -> bytes:
    """All parts in one string that can be read in one way only."""
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)
