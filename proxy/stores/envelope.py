"""An entry as bytes, for every tier outside this process's own memory.

    version · packed · status · three lengths · checksum | head (a JSON array) | fields (NUL between all parts) | body

Rules: the body stands there raw, so that opening copies it once and parses only the small head. The checksum covers the
key it was sealed under, so an envelope opens under no other. What is broken, cut short, or of another version is no
entry: it is a miss, never an error. A change of `Entry` or `Usage` is a new version. Nothing in it can run code.
"""

import struct
import zlib
from typing import Final

import orjson

from proxy.exchange.headers import HeaderList
from proxy.exchange.usage import Usage
from proxy.stores.base import Entry

VERSION: Final = 2

_PREFIX = struct.Struct("<BBHIII")  # version, packed, status, length of head, of fields, of body
_CHECKSUM = struct.Struct("<I")
_START: Final = _PREFIX.size + _CHECKSUM.size

type _Value = str | int | float | bool | None


def seal(entry: Entry, key: bytes, *, plain: bytes | None = None) -> bytes:
    """The entry as bytes that open only under `key`; with `plain` as its body, not packed. Raises ValueError for what
    cannot be written: a NUL in a field, text or numbers that JSON does not have, more than 4 GiB."""
    usage = entry.usage
    body, packed = (entry.body, entry.packed) if plain is None else (plain, False)
    head = _json(
        [
            entry.stored_at,
            entry.ttl_s,
            entry.provider,
            entry.operation,
            entry.model,
            entry.cost_nanousd,
            None if usage is None else _usage_values(usage),
            entry.epoch,
            entry.took_ms,
            entry.namespace,
            entry.tags,
            entry.labels,
            entry.credential,
            entry.sensitive,
        ]
    )
    fields = _joined(entry.headers)
    try:
        prefix = _PREFIX.pack(VERSION, packed, entry.status, len(head), len(fields), len(body))
    except struct.error as failure:
        raise ValueError("a status or a length that no answer has") from failure
    content = b"".join((head, fields, body))
    return b"".join((prefix, _CHECKSUM.pack(_sum(key, prefix, content)), content))


def opened(sealed: bytes, key: bytes) -> Entry | None:
    """The entry, or None when these bytes are none that this version sealed under `key`."""
    if len(sealed) < _START or sealed[0] != VERSION:
        return None
    _, packed, status, head_length, fields_length, body_length = _PREFIX.unpack_from(sealed)
    fields_at = _START + head_length
    body_at = fields_at + fields_length
    if body_at + body_length != len(sealed):
        return None
    content = memoryview(sealed)[_START:]
    if _CHECKSUM.unpack_from(sealed, _PREFIX.size)[0] != _sum(key, sealed[: _PREFIX.size], content):
        return None
    try:
        stored_at, ttl_s, provider, operation, model, cost, usage, *more = orjson.loads(sealed[_START:fields_at])
        epoch, took_ms, namespace, tags, labels, credential, sensitive = more
        return Entry(
            status,
            _split(sealed[fields_at:body_at]),
            sealed[body_at:],
            packed == 1,
            stored_at,
            ttl_s,
            provider,
            operation,
            model,
            None if usage is None else Usage(*usage),
            cost,
            epoch,
            took_ms,
            namespace,
            tuple(tags),
            labels,
            credential,
            sensitive,
        )
    except (ValueError, TypeError):
        return None


def _sum(key: bytes, prefix: bytes, content: bytes | memoryview) -> int:
    return zlib.crc32(content, zlib.crc32(key + prefix))


def _json(values: list[object]) -> bytes:
    try:
        return orjson.dumps(values)
    except TypeError as failure:  # orjson's word for everything that it cannot write
        raise ValueError("not to be written as JSON") from failure


def _usage_values(usage: Usage) -> list[_Value]:
    return [
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.reasoning_tokens,
        usage.input_audio_tokens,
        usage.output_audio_tokens,
        usage.web_searches,
        usage.model,
        usage.service_tier,
        usage.response_id,
        usage.estimated,
    ]


def _joined(headers: HeaderList) -> bytes:
    """RFC 9110, section 5.5: a field has no NUL."""
    parts = [part for pair in headers for part in pair]
    joined = b"\0".join(parts)
    if parts and joined.count(0) != len(parts) - 1:
        raise ValueError("a field holds a NUL")
    return joined


def _split(joined: bytes) -> HeaderList:
    if not joined:
        return []
    parts = iter(joined.split(b"\0"))
    return list(zip(parts, parts, strict=True))
