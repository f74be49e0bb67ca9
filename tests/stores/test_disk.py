"""The disk tier: what is kept survives, within its bound, and nobody waits for it."""

import asyncio
import contextlib
import random
import sqlite3
import stat
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.stores.base import Entry, StoreUnavailableError
from proxy.stores.disk.store import PENDING_BYTES, DiskStore
from proxy.stores.sealing.sealer import Sealer
from tests.stores.answers import answer, key
from tests.stores.disks import DEADLINE_S, SettledDisk, disk, key_file
from tests.stores.test_memory import finished
from tests.support.waiting import until

NOW = 1_790_000_000.0
MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "cache.sqlite"


def noise(number: int, size: int = 4_000, **more: object) -> Entry:
    """An answer that does not compress."""
    body = random.Random(number).randbytes(size)
    return replace(answer(number), body=body, packed=False, **more)  # type: ignore[arg-type]


async def fill(store: DiskStore, numbers: range, size: int = 4_000) -> None:
    for number in numbers:
        await store.put(key(number), noise(number, size))
        if number % 100 == 99:
            assert await store.flush(DEADLINE_S)
    assert await store.flush(DEADLINE_S)


async def held(store: DiskStore, numbers: range) -> set[int]:
    return {number for number in numbers if await store.get(key(number)) is not None}


def file_bytes(path: Path) -> int:
    return path.stat().st_size


async def test_answers_survive_a_restart(path: Path) -> None:
    async with disk(path) as store:
        for number in range(50):
            await store.put(key(number), answer(number))
    async with disk(path) as store:
        assert [await store.get(key(number)) for number in range(50)] == [answer(number) for number in range(50)]
        assert store.stats().entries == 50
        assert store.stats().hits == 50


async def test_what_waits_at_the_end_is_written(path: Path) -> None:
    async with disk(path, kind=DiskStore) as store:
        for number in range(3000):
            await store.put(key(number), answer(number % 7))
    async with disk(path) as store:
        assert store.stats().entries == 3000


async def test_file_and_directory_are_private(path: Path) -> None:
    async with disk(path) as store:
        await store.put(key(1), answer(1))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert set(modes.values()) == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_what_is_not_written_yet_is_answered_and_deleted_all_the_same(path: Path) -> None:
    async with disk(path, kind=DiskStore) as store:
        await store.put(key(1), answer(1))
        assert finished(store.get(key(1))) == answer(1)
        await store.put(key(1), answer(2))
        assert finished(store.get(key(1))) == answer(2)
        assert await store.delete(key(1))
        assert await store.get(key(1)) is None
        await store.put(key(2), answer(2))
        await store.clear()
        assert await store.get(key(2)) is None
        assert store.stats().entries == 0


async def test_what_is_put_again_is_there_once_and_counted_once(path: Path) -> None:
    async with disk(path, kind=DiskStore) as store:
        for numbers in (range(30), range(100, 115)):
            for number in numbers:
                await store.put(key(number % 20), answer(number))
            assert await store.flush(DEADLINE_S)
        assert store.stats().entries == 20
        with contextlib.closing(sqlite3.connect(path)) as connection:
            held = connection.execute("SELECT count(*), sum(size) FROM entries").fetchone()
            assert held == connection.execute("SELECT entries, bytes FROM totals").fetchone()
    async with disk(path) as store:
        assert [await store.get(key(number)) for number in range(20)] == [
            answer(number + 100 if number < 15 else number) for number in range(20)
        ]


async def test_no_entry_has_the_number_of_one_that_is_gone(path: Path) -> None:
    async with disk(path) as store:
        seen = []
        for number in range(3):
            await store.put(key(number), answer(number))
            with contextlib.closing(sqlite3.connect(path)) as connection:
                seen += connection.execute("SELECT seq FROM entries").fetchall()
            await (store.clear() if number else store.delete(key(number)))
        assert seen == [(1,), (2,), (3,)]


async def test_while_something_is_deleted_it_is_gone_already(path: Path) -> None:
    async with disk(path) as store:
        await store.put(key(1), answer(1))
        deleting = asyncio.ensure_future(store.delete(key(1)))
        clearing = asyncio.ensure_future(store.clear())
        await asyncio.sleep(0)
        assert finished(store.get(key(1))) is None
        assert await deleting
        assert await clearing == 0


async def test_a_key_that_is_not_there_costs_no_look_at_the_disk(path: Path) -> None:
    async with disk(path) as store:
        await store.put(key(1), answer(1))
        await until(lambda: store._keys.is_known, "the keys are known")
        denied = 0
        for number in range(2, 1000):
            with contextlib.suppress(AssertionError):  # it had to wait: the filter said "perhaps"
                denied += finished(store.get(key(number))) is None
        assert denied > 980


async def test_the_keys_that_are_there_at_the_start_are_read_in_the_background(path: Path) -> None:
    async with disk(path) as store:
        await fill(store, range(1500), 100)
    async with disk(path) as store:
        assert await store.get(key(7)) == noise(7, 100)  # whether they are known or not
        await until(lambda: store._keys.is_known, "the keys are known")
        assert await held(store, range(1500)) == {*range(1500)}
        assert not store._keys.may_hold(b"\1" * 32)


async def test_it_stays_within_its_bound_and_the_file_too(path: Path) -> None:
    async with disk(path, limit_bytes=4 * MIB, kind=DiskStore) as store:
        await fill(store, range(4000))
        stats = store.stats()
        assert stats.used_bytes <= 4 * MIB
        assert stats.evicted > 2000
        assert stats.entries == 4000 - stats.evicted
        assert file_bytes(path) <= 1.2 * 4 * MIB
        assert len(await held(store, range(4000 - stats.entries, 4000))) == stats.entries  # the oldest went


async def test_what_is_read_stays_longer(path: Path) -> None:
    now = [NOW]
    async with disk(path, limit_bytes=2 * MIB, kind=DiskStore, clock=lambda: now[0]) as store:
        await fill(store, range(400))
        now[0] += 1000
        assert await held(store, range(20)) == {*range(20)}
        now[0] += 1000
        await fill(store, range(400, 700))
        assert await held(store, range(20)) == {*range(20)}
        assert await held(store, range(20, 100)) == set()


async def test_a_smaller_bound_is_obeyed_by_the_file_as_well(path: Path) -> None:
    async with disk(path, limit_bytes=4 * MIB, kind=DiskStore) as store:
        await fill(store, range(900))
        store.resize(MIB)
        await until(lambda: store.stats().used_bytes <= MIB, "entries went")
        await until(lambda: file_bytes(path) <= 1.2 * MIB, "pages were given back")


async def test_an_answer_too_large_for_the_bound_is_not_kept_and_the_older_one_forgotten(path: Path) -> None:
    async with disk(path, limit_bytes=MIB) as store:
        await store.put(key(1), answer(1))
        await store.put(key(1), noise(1, 200_000))
        assert await store.get(key(1)) is None
        assert store.stats().entries == 0


async def test_what_cannot_be_written_is_not_kept(path: Path) -> None:
    async with disk(path) as store:
        await store.put(key(1), answer(1))
        await store.put(key(1), replace(answer(1), headers=[(b"x", b"\0")]))
        assert await store.get(key(1)) is None


async def test_what_nobody_may_be_answered_with_is_removed_in_the_background(path: Path) -> None:
    now = [NOW]
    async with disk(path, grace_s=100, clock=lambda: now[0]) as store:
        await store.put(key(1), replace(answer(1), stored_at=NOW, ttl_s=50))
        await store.put(key(2), replace(answer(2), stored_at=NOW, ttl_s=500))
        now[0] = NOW + 140
        await store.put(key(3), replace(answer(3), stored_at=NOW, ttl_s=500))
        assert store.stats().entries == 3  # stale for 90 s: within the grace
        now[0] = NOW + 300
        await until(lambda: store.stats().entries == 2, "the expired one went")
        assert await store.get(key(1)) is None


async def test_too_much_to_write_is_refused(path: Path) -> None:
    async with disk(path, kind=DiskStore, limit_bytes=1 << 28) as store:
        big = noise(1, PENDING_BYTES // 3)
        for number in range(3):
            await store.put(key(number), big)
        with pytest.raises(StoreUnavailableError, match="too much to write"):
            await store.put(key(4), big)
        assert store.stats().failures == 1


class SlowSealer(Sealer):
    """Stands for a disk that hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.works = threading.Event()
        self.works.set()

    def opened(self, sealed: bytes, key: bytes) -> Entry | None:
        assert self.works.wait(DEADLINE_S)
        return super().opened(sealed, key)


async def test_a_disk_that_hangs_costs_one_call_its_deadline_and_no_other(path: Path) -> None:
    sealer = SlowSealer()
    async with disk(path, sealer=sealer) as store:
        for number in range(3):
            await store.put(key(number), answer(number))
        store._lookups._timeout_s = 0.02
        sealer.works.clear()
        with pytest.raises(StoreUnavailableError, match="in time"):
            await store.get(key(0))
        with pytest.raises(StoreUnavailableError, match="behind"):
            finished(store.get(key(1)))
        sealer.works.set()
        store._lookups._timeout_s = DEADLINE_S

        async def answers_again() -> Entry | None:
            while True:
                with contextlib.suppress(StoreUnavailableError):
                    return await store.get(key(2))
                await asyncio.sleep(0.005)

        assert await asyncio.wait_for(answers_again(), DEADLINE_S) == answer(2)
        assert store.stats().failures >= 2


async def test_dictionaries_are_kept_beside_the_answers(path: Path) -> None:
    first = Sealer()
    async with disk(path, sealer=first, kind=DiskStore) as store:
        for number in range(1000):
            await store.put(key(number), answer(number))
            if number % 50 == 0:
                assert await store.flush(DEADLINE_S)
            if number == 450:
                await until(lambda: first.dictionaries.current.number > 0, "a dictionary is trained")
    async with disk(path, kind=DiskStore) as store:
        for number in range(0, 1000, 50):
            assert await store.get(key(number)) == answer(number)
        assert store.stats().used_bytes < 1000 * 1000


async def test_encrypted_answers_and_dictionaries_show_nothing_in_the_file(path: Path, tmp_path: Path) -> None:
    sealer = Sealer(key_file(tmp_path, "a"))
    async with disk(path, sealer=sealer, kind=DiskStore) as store:
        for number in range(500):
            await store.put(key(number), answer(number))
        await until(lambda: sealer.dictionaries.current.number > 0, "a dictionary is trained")
        await store.put(key(1000), answer(1000))
    content = path.read_bytes()
    assert b"cloudflare" not in content
    assert b"chat.completion" not in content
    async with disk(path, sealer=Sealer(key_file(tmp_path, "b", "a"))) as store:
        assert await store.get(key(1000)) == answer(1000)
    async with disk(path, sealer=Sealer(key_file(tmp_path, "c"))) as store:
        assert await store.get(key(1000)) is None


async def test_clearing_takes_the_dictionaries_too(path: Path) -> None:
    sealer = Sealer()
    async with disk(path, sealer=sealer, kind=DiskStore) as store:
        for number in range(500):
            await store.put(key(number), answer(number))
        await until(lambda: sealer.dictionaries.current.number > 0, "a dictionary is trained")
        assert await store.flush(DEADLINE_S)
        await store.clear()
        assert sealer.dictionaries.current.number == 0
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM dictionaries").fetchone() == (0,)


async def test_before_it_is_started_nothing_is_kept_and_after_its_end_neither(path: Path) -> None:
    store = SettledDisk(path, MIB, Sealer())
    assert await store.get(key(1)) is None
    with pytest.raises(StoreUnavailableError):
        await store.put(key(1), answer(1))
    with pytest.raises(StoreUnavailableError):
        await store.delete(key(1))
    assert await store.flush(0.1)
    store.start()
    assert await store.ready(DEADLINE_S)
    await store.close(DEADLINE_S)
    with pytest.raises(StoreUnavailableError):
        await store.put(key(1), answer(1))
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("cache-")]


@pytest.fixture
async def two(path: Path) -> AsyncIterator[tuple[DiskStore, DiskStore]]:
    """Two proxies on one file."""
    async with disk(path) as one, disk(path) as other:
        yield one, other


async def test_what_one_proxy_keeps_another_one_finds(two: tuple[DiskStore, DiskStore]) -> None:
    one, other = two
    await until(lambda: one._keys.is_known and other._keys.is_known, "the keys are known")
    for number in range(20):
        await one.put(key(number), answer(number))
    await until(lambda: all(other._keys.may_hold(key(number)) for number in range(20)), "the other has noticed")
    assert [await other.get(key(number)) for number in range(20)] == [answer(number) for number in range(20)]
    assert await other.delete(key(3))
    assert await one.get(key(3)) is None
    await until(lambda: one.stats().entries == other.stats().entries == 19, "both count the same")


async def test_the_event_loop_does_not_wait_while_a_lock_is_held(path: Path) -> None:
    async with disk(path, kind=DiskStore) as store:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            began = time.perf_counter()
            for number in range(100):
                await store.put(key(number), answer(1))
                assert await store.get(key(number)) == answer(1)
            assert time.perf_counter() - began < 1
            connection.execute("ROLLBACK")
        assert await store.flush(DEADLINE_S)
        assert store.stats().entries == 100
