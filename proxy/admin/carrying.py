"""Entries on their way out of a cache and into another: lines of JSON, a head and then one entry each.

    {"format": "skinflint-cache", "version": 1, "skinflint": …, "key": …, "encrypted": …}
    {"fingerprint": hexadecimal, "sealed": base64}
    {"end": true}

Rules: an entry is sealed under its fingerprint as it is for Redis: compressed, with its checksum, and encrypted when
`cache.encryption` is on. `key` tells fleets apart whose fingerprints differ; it reveals nothing of the key. What is not
encrypted never gets into a cache that encrypts. An entry keeps its epoch, lowered to the moment its upstream call
began: so what was invalidated here, or there, before now does not come back with an old export.
"""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

import orjson

from proxy import version
from proxy.admin.stock import Stock, newest
from proxy.stores.base import Entry, StoreUnavailableError, size_of
from proxy.stores.listing import walk

FORMAT: Final = "skinflint-cache"
VERSION: Final = 1
END: Final = b'{"end":true}'
LINE_BYTES: Final = 67_108_864  # far more than `limits.max_answer_bytes` comes to by default
_LARGE_BYTES: Final = 131_072  # sealed and opened in a thread
_CLOCKS_S: Final = 300.0  # what another machine's clock may be ahead
_WAIT_S: Final = 10.0  # for a tier that has too much to write
_RETRY_S: Final = 0.02


class ImportRefusedError(Exception):
    """It is no export that this cache can take. Says why."""


def key_name(key: bytes) -> str:
    """What tells two keys of fingerprints apart."""
    return hashlib.blake2b(key=key, person=b"export", digest_size=8).hexdigest()


async def exported(stock: Stock) -> AsyncIterator[bytes]:
    """The lines. What is past its time, invalidated, or may only be in memory, is left out. Raises
    StoreUnavailableError."""
    yield _line(
        {
            "format": FORMAT,
            "version": VERSION,
            "skinflint": version(),
            "key": key_name(stock.key()),
            "encrypted": stock.sealer.encrypts,
        }
    )
    async for found in walk(stock.listings):
        kept = newest(found)
        entry = kept.entry
        if entry is None or stock.state(found.key, kept) != "fresh" or (entry.sensitive and not stock.sealer.encrypts):
            continue
        try:
            if len(entry.body) > _LARGE_BYTES:
                sealed = await asyncio.to_thread(stock.sealer.seal, entry, found.key)
            else:
                sealed = stock.sealer.seal(entry, found.key)
        except ValueError:
            continue
        yield _line({"fingerprint": found.key.hex(), "sealed": base64.b64encode(sealed).decode()})
    yield END + b"\n"


def _line(fields: dict[str, object]) -> bytes:
    return orjson.dumps(fields) + b"\n"


@dataclass(slots=True)
class Imported:
    """What became of the lines."""

    imported: int = 0
    known: int = 0  # as new, or newer, here already
    expired: int = 0
    invalidated: int = 0
    broken: int = 0  # or encrypted with a key that is not here
    not_kept: int = 0  # the tier that it belongs to took none


class Import:
    """Takes one export, line by line."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
        self._has_head = self._has_end = False
        self.counts = Imported()

    async def take(self, line: bytes) -> None:
        """The next line. Raises ImportRefusedError for a head that does not fit."""
        if not line.strip():
            return
        if not self._has_head:
            self._check(line)
            self._has_head = True
            return
        if line.strip() == END:
            self._has_end = True
            return
        opened = await self._opened(line)
        if opened is None:
            self.counts.broken += 1
            return
        await self._keep(*opened)

    def end(self) -> None:
        """No more comes. Raises ImportRefusedError when there was not even a head, or no end."""
        if not self._has_head:
            raise ImportRefusedError("this is empty")
        if not self._has_end:
            raise ImportRefusedError("the export is cut off; what came before was taken")

    def _check(self, line: bytes) -> None:
        try:
            head = orjson.loads(line)
        except orjson.JSONDecodeError:
            head = None
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise ImportRefusedError("this is no export of a Skinflint cache")
        if head.get("version") != VERSION:
            raise ImportRefusedError(f"the export is of version {head.get('version')}; this Skinflint reads {VERSION}")
        if head.get("key") != key_name(self._stock.key()):
            raise ImportRefusedError(
                "the export is of a cache whose fingerprints have another key: none of it would ever be found here; "
                "give both the same cache.key_file, or the same Redis"
            )
        if self._stock.sealer.encrypts and not head.get("encrypted"):
            raise ImportRefusedError("the export is not encrypted, and this cache takes nothing in the clear")
        if head.get("encrypted") and not self._stock.sealer.encrypts:
            raise ImportRefusedError(
                "the export is encrypted: set cache.encryption.key_file to the file it was made with"
            )

    async def _opened(self, line: bytes) -> tuple[bytes, Entry] | None:
        try:
            fields = orjson.loads(line)
            key, sealed = bytes.fromhex(fields["fingerprint"]), base64.b64decode(fields["sealed"], validate=True)
        except (orjson.JSONDecodeError, binascii.Error, ValueError, KeyError, TypeError):
            return None
        if len(key) != 32:
            return None
        if len(sealed) > _LARGE_BYTES:
            entry = await asyncio.to_thread(self._stock.sealer.opened, sealed, key)
        else:
            entry = self._stock.sealer.opened(sealed, key)
        return None if entry is None else (key, entry)

    async def _keep(self, key: bytes, entry: Entry) -> None:
        counts, stock = self.counts, self._stock
        now = stock.clock()
        if entry.stored_at > now + _CLOCKS_S:
            counts.broken += 1
            return
        began = int((entry.stored_at - entry.took_ms / 1000) * 1_000_000)
        entry = replace(entry, stored_at=min(entry.stored_at, now), epoch=min(entry.epoch, began))
        if entry.age(now) > entry.ttl_s:
            counts.expired += 1
        elif stock.store.rules.is_dead(key, entry):
            counts.invalidated += 1
        elif (held := await stock.store.get(key)) is not None and held.stored_at >= entry.stored_at:
            counts.known += 1
        elif await self._put(key, entry):
            counts.imported += 1
        else:
            counts.not_kept += 1

    async def _put(self, key: bytes, entry: Entry) -> bool:
        """Into the tiers that last; into memory as far as there is room, so that nothing in use is pushed out."""
        store = self._stock.store
        near = store.near.stats()
        outer = [tier for tier in store.outer if store.admits(tier, entry)]
        was_kept = False
        if not outer or near.used_bytes + size_of(entry, key) <= near.limit_bytes:
            await store.near.put(key, entry)
            was_kept = True
        for tier in outer:
            give_up_at = asyncio.get_running_loop().time() + _WAIT_S
            while True:
                try:
                    await tier.put(key, entry)
                except StoreUnavailableError:
                    if not tier.stats().is_up or asyncio.get_running_loop().time() > give_up_at:
                        break
                    await asyncio.sleep(_RETRY_S)
                    continue
                was_kept = True
                break
        return was_kept
