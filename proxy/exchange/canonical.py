"""What makes two requests the same: the canonical form that a fingerprint digests.

Rules: everything counts unless it is known not to matter (deny-list, never allow-list). JSON bodies lose white space
and the order of keys, and nothing else; numbers keep their kind (1 and 1.0 differ). A body that cannot be parsed
without loss counts byte for byte. Every part is length-prefixed, so that no two different requests run together.
"""

import json
import marshal
import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from operator import itemgetter

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
IGNORED_QUERY = frozenset(
    {"key", "access_token", "X-Amz-Signature", "X-Amz-Date", "X-Amz-Credential", "X-Amz-Security-Token"}
)
# Of all these, where a credential may stand. A provider reads one of them; the others count (`other_credentials`).
CREDENTIAL_FIELDS = frozenset({b"api-key", b"authorization", b"x-api-key", b"x-goog-api-key"})
CREDENTIAL_QUERY = ("key", "access_token", "X-Amz-Credential")

# Cookies that a provider's network sets to balance load and tell robots from people. SDKs' HTTP clients send them back.
IGNORED_COOKIES = frozenset(
    {b"__cf_bm", b"__cflb", b"__cfruid", b"__cfwaitingroom", b"_cfuvid", b"cf_clearance", b"awsalb", b"awsalbcors",
     b"awsalbtg", b"awsalbtgcors", b"gclb", b"arraffinity", b"arraffinitysamesite"}
)  # fmt: skip

_DIGITS_AS_ZERO = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_BIG_INTEGER = b"0" * 19
_BOUNDARY = re.compile(rb'\bboundary=(?:"([^"]*)"|([^\s;,"]+))', re.IGNORECASE)
_MARSHAL_VERSION = 2  # type, length and bytes of each part; the same in all versions of Python, without references
_SIGNATURE_V4 = b"AWS4-"


def canonical_json(raw: bytes, parsed: object = None) -> bytes:
    """`raw` without white space and with sorted keys; `raw` itself if it cannot be read without loss. `parsed`: what
    orjson made of it, where that is known already.

    Lossy would be: integers beyond 64 bits (two seeds must not collide), numbers beyond a double, and repeated members,
    of which a provider may take another one than we do. A body that is written again just as it came repeats nothing;
    any other is looked through member by member.
    """
    try:
        if _may_hold_big_integer(raw):
            return _written(_load_without_loss(raw))
        if parsed is None:
            parsed = orjson.loads(raw)
        if (rewritten := orjson.dumps(parsed)) != raw:
            loaded = _load_without_loss(raw)
            if _may_hold_big_integer(rewritten):  # orjson writes 2.1e-05 with all its noughts
                return _written(loaded)
        return orjson.dumps(parsed, option=orjson.OPT_SORT_KEYS)
    except (ValueError, TypeError, RecursionError):
        return raw


def _written(loaded: object) -> bytes:
    return json.dumps(loaded, sort_keys=True, separators=(",", ":")).encode()


def _may_hold_big_integer(raw: bytes) -> bool:
    """Nineteen digits in a row. A table and a plain search take a tenth of the time of a regular expression. `in` would
    first try its operand as an integer, and the exception inside would cost more than the search."""
    return raw.translate(_DIGITS_AS_ZERO).find(_BIG_INTEGER) >= 0


def _load_without_loss(raw: bytes) -> object:
    return json.loads(raw, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("repeated member")
    return members


def canonical_body(raw: bytes, content_type: bytes, parsed: object = None) -> bytes:
    """The body as it counts: JSON canonical, multipart without its random boundary, anything else as it is."""
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"application/json" or kind.endswith(b"+json") or (not kind and raw[:1] in (b"{", b"[")):
        return canonical_json(raw, parsed)
    if kind.startswith(b"multipart/") and (match := _BOUNDARY.search(content_type)):
        # Cut there, and each piece with its length: a text that merely looks like a boundary stays apart from one.
        return length_prefixed(raw.split(b"--" + (match[1] or match[2] or b"")))
    return raw


def canonical_headers(headers: HeaderList) -> Iterable[bytes]:
    """The fields that may change the answer, in the order of their names; repeated ones in their own order."""
    for name, value in sorted([field for field in headers if _counts(field[0])], key=itemgetter(0)):
        if name == b"content-type":
            yield name + b":" + _canonical_type(value)
        elif name != b"cookie":
            yield name + b":" + value.strip()
        elif cookies := _canonical_cookie(value):
            yield name + b":" + cookies


@lru_cache(maxsize=1024)
def _counts(name: bytes) -> bool:
    return name not in IGNORED_FIELDS and not name.startswith(IGNORED_PREFIXES)


def _canonical_cookie(value: bytes) -> bytes:
    kept = [pair for pair in value.split(b";") if pair.partition(b"=")[0].strip().lower() not in IGNORED_COOKIES]
    return b";".join(kept).strip()


def _canonical_type(value: bytes) -> bytes:
    kind, _, parameters = value.partition(b";")
    kind = kind.strip().lower()
    if kind == b"application/json":
        return kind  # RFC 8259, section 11: parameters mean nothing here
    return kind + b";" + _BOUNDARY.sub(b"boundary", parameters).strip()


def other_credentials(headers: HeaderList, query: Mapping[str, str], known: bytes) -> Iterable[bytes]:
    """The credentials of a request besides `known`, the one its provider reads. They count, so that who sends his key
    in an unusual place never shares answers with who sends another one."""
    found = [field for field in headers if field[0] in CREDENTIAL_FIELDS]
    if len(found) == 1 and not query and found[0][1] in (known, b"Bearer " + known):
        return
    for name, value in sorted(found, key=lambda field: field[0]):
        if not _is_known(value.strip(), known):
            yield name + b":" + value.strip()
    for key in CREDENTIAL_QUERY:
        if (text := query.get(key)) is not None and not _is_known(text.encode(), known):
            yield b"?" + key.encode() + b":" + text.encode()


def _is_known(value: bytes, known: bytes) -> bool:
    """`known` itself, after a scheme, or as the access key id of a signature, which differs in each request."""
    if not known:
        return not value
    if value.startswith(_SIGNATURE_V4):
        return b"Credential=" + known + b"/" in value
    return value == known or value.partition(b" ")[2].strip() == known or value.startswith(known + b"/")


def canonical_query(query: str) -> str:
    """The query without credentials and signatures; its order counts."""
    if not query:
        return ""
    kept = [part for part in query.split("&") if part.partition("=")[0] not in IGNORED_QUERY]
    return "&".join(kept)


def length_prefixed(parts: Iterable[bytes]) -> bytes:
    """All parts in one string that can be read in one way only."""
    return marshal.dumps(tuple(parts), _MARSHAL_VERSION)
