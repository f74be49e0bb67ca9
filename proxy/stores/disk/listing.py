"""Looks through the disk tier's file, beside those who read and write it: each page on a connection of its own, in a
thread, with a deadline. One page at a time, so that a disk that hangs holds one thread and no more.
"""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from proxy.stores.base import StoreUnavailableError
from proxy.stores.disk.faults import FAULTS
from proxy.stores.disk.file import open_reader
from proxy.stores.listing import PAGE_BYTES, Kept
from proxy.stores.sealing.dictionary import NO_DICTIONARY
from proxy.stores.sealing.sealer import Sealer

PAGE_S: Final = 30.0
_PAGE: Final = "SELECT key, size, content FROM entries WHERE key > ? ORDER BY key LIMIT ?"
_DICTIONARY: Final = "SELECT content FROM dictionaries WHERE number = ?"


class DiskListing:
    """See the module. A Listing."""

    def __init__(self, path: Path, sealer: Sealer) -> None:
        self._path = path
        self._sealer = sealer
        self._under_way: asyncio.Future[list[Kept]] | None = None

    async def entries(self, after: bytes, limit: int) -> list[Kept]:
        """Raises StoreUnavailableError."""
        if self._under_way is not None and not self._under_way.done():
            await asyncio.wait((self._under_way,), timeout=PAGE_S)
            if not self._under_way.done():
                raise StoreUnavailableError("the disk tier is behind")
        page = asyncio.get_running_loop().run_in_executor(None, self._page, after, limit)
        self._under_way = page
        try:
            async with asyncio.timeout(PAGE_S):
                return await asyncio.shield(page)
        except TimeoutError:
            raise StoreUnavailableError("the disk tier did not answer in time") from None
        except FAULTS as failure:
            raise StoreUnavailableError("the disk tier cannot be read") from failure

    def _page(self, after: bytes, limit: int) -> list[Kept]:
        found: list[Kept] = []
        total = 0
        with closing(open_reader(self._path)) as connection:
            for key, size, content in connection.execute(_PAGE, (after, limit)):
                found.append(self._kept(connection, key, size, content))
                total += size
                if total >= PAGE_BYTES:
                    break
        return found

    def _kept(self, connection: sqlite3.Connection, key: bytes, size: int, content: bytes) -> Kept:
        number = Sealer.dictionary_of(content)
        if number != NO_DICTIONARY and not self._sealer.knows(number):
            kept = connection.execute(_DICTIONARY, (number,)).fetchone()
            if kept is not None:
                self._sealer.learn(number, kept[0])
        entry = self._sealer.opened(content, key)
        return Kept(key, size, entry, None if entry is not None else self._sealer.flaw(content))
