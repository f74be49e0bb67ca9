"""`skinflint` with a cache that is full from its first call on: what a million entries cost, without a million calls.

Run as `python -m bench.prefilled ENTRIES COMMAND…`, with `skinflint`'s own commands. Rules: entries are like those of
small answers and share their parts, so that a million fit into a few hundred megabytes; they come when the proxy first
looks into its cache, as entries come in life: after its start.
"""

import dataclasses
import hashlib
import sys
import time

from proxy import app
from proxy.cli import main
from proxy.stores.base import Entry
from proxy.stores.memory import MemoryStore

_KEY_BYTES = 32


class FilledStore(MemoryStore):
    """A MemoryStore that fills itself when it is first asked."""

    to_fill = 0

    async def get(self, key: bytes) -> Entry | None:
        """See Store; the first time takes seconds."""
        if FilledStore.to_fill:
            count, FilledStore.to_fill = FilledStore.to_fill, 0
            await self._fill(count)
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
        for number in range(count):
            key = hashlib.blake2b(number.to_bytes(8), digest_size=_KEY_BYTES).digest()
            await self.put(key, dataclasses.replace(template))


if __name__ == "__main__":
    FilledStore.to_fill = int(sys.argv.pop(1))
    setattr(app, "MemoryStore", FilledStore)  # noqa: B010 - the composition makes its store by this name
    sys.exit(main())
