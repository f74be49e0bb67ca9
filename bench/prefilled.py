"""`skinflint` with a cache that is full from its first call on: what a million entries cost, without a million calls.

Run as `python -m bench.prefilled ENTRIES STEP COMMAND…`, with `skinflint`'s own commands. Rules: entries are like those
of small answers and share their parts, so that a million fit into a few hundred megabytes; they come when the proxy
looks into its cache, STEP with each look, as in life: after its start, and never for so long that calls hang.
"""

import dataclasses
import hashlib
import sys
import time
from typing import Final

from proxy import cache_parts
from proxy.cli import main
from proxy.stores.base import Entry
from proxy.stores.memory import MemoryStore

_KEY_BYTES: Final = 32


class FilledStore(MemoryStore):
    """A MemoryStore that fills itself while it is asked."""

    wanted = 0
    step = 0
    filled = 0

    async def get(self, key: bytes) -> Entry | None:
        """See Store; it takes a while until `wanted` entries are there."""
        if FilledStore.filled < FilledStore.wanted:
            await self._fill(min(FilledStore.step, FilledStore.wanted - FilledStore.filled))
        return await super().get(key)

    async def _fill(self, count: int) -> None:
        template = Entry(
            status=200,
            headers=[(b"content-type", b"application/json")],
            body=b"{}",
            packed=False,
            stored_at=time.time(),
            ttl_s=86_400.0,
            provider="openai",
            operation="chat",
            model="gpt-4o-mini",
        )
        for number in range(FilledStore.filled, FilledStore.filled + count):
            key = hashlib.blake2b(number.to_bytes(8), digest_size=_KEY_BYTES).digest()
            await self.put(key, dataclasses.replace(template))
        FilledStore.filled += count


if __name__ == "__main__":
    FilledStore.wanted, FilledStore.step = int(sys.argv.pop(1)), int(sys.argv.pop(1))
    setattr(cache_parts, "MemoryStore", FilledStore)  # noqa: B010 - the composition makes its store by this name
    sys.exit(main())
