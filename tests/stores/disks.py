"""Disk tiers for tests: opened in a directory, closed whatever happens."""

import base64
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from proxy.stores.base import Entry
from proxy.stores.disk.file import DiskFile
from proxy.stores.disk.store import DiskStore
from proxy.stores.disk.writer import OpenFile
from proxy.stores.rules import Rule
from proxy.stores.sealing.keyfile import KeyFile
from proxy.stores.sealing.sealer import Sealer

DEADLINE_S = 20.0


class SettledDisk(DiskStore):
    """What is put is in the file when `put` returns: what follows is answered from there."""

    async def put(self, key: bytes, entry: Entry) -> None:
        await super().put(key, entry)
        assert await self.flush(DEADLINE_S)


def key_file(directory: Path, *names: str) -> KeyFile:
    """Keys whose secrets follow from their names."""
    path = directory / f"keys-{'-'.join(names)}"
    lines = [f"{name} {base64.b64encode(random.Random(name).randbytes(32)).decode()}\n" for name in names]
    path.write_text("".join(lines))
    path.chmod(0o600)
    return KeyFile(path)


def nothing(_rules: Sequence[Rule]) -> None:
    """No rules are looked at."""


@contextlib.asynccontextmanager
async def disk(
    path: Path,
    *,
    limit_bytes: int = 1 << 24,
    sealer: Sealer | None = None,
    kind: type[DiskStore] = SettledDisk,
    waits: bool = True,
    grace_s: float = 1e9,
    on_rules: Callable[[Sequence[Rule]], None] = nothing,
    clock: Callable[[], float] = lambda: 1_790_000_000.0,
    open_file: OpenFile = DiskFile.open,
) -> AsyncIterator[DiskStore]:
    """A disk tier that is open, and patient with a busy machine."""
    store = kind(
        path,
        limit_bytes,
        sealer or Sealer(),
        grace_s=grace_s,
        read_timeout_s=DEADLINE_S,
        on_rules=on_rules,
        clock=clock,
        open_file=open_file,
    )
    store.start()
    try:
        if waits:
            assert await store.ready(DEADLINE_S)
        yield store
    finally:
        await store.close(DEADLINE_S)


@contextlib.asynccontextmanager
async def settled_disk(directory: Path, *, encrypted: bool = False) -> AsyncIterator[DiskStore]:
    """For the contract."""
    sealer = Sealer(key_file(directory, "a")) if encrypted else Sealer()
    async with disk(directory / "data" / "cache.sqlite", sealer=sealer) as store:
        yield store
