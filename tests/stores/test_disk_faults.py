"""The disk tier when the disk fails: said once, nobody is harmed, and it comes back by itself."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.stores.base import StoreUnavailableError
from proxy.stores.disk.faults import DiskFault
from proxy.stores.disk.file import DiskFile
from proxy.stores.disk.store import DiskStore
from proxy.stores.disk.writer import OpenFile
from tests.stores.answers import answer, key
from tests.stores.disks import DEADLINE_S, SettledDisk, disk
from tests.stores.test_disk import noise
from tests.support.waiting import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "cache.sqlite"


def events(logs: list[dict[str, object]], prefix: str = "cache_") -> list[object]:
    return [line["event"] for line in logs if str(line["event"]).startswith(prefix)]


async def works_again(store: DiskStore, number: int = 99) -> None:
    await until(lambda: store.stats().is_up, "the tier is back")
    await store.put(key(number), answer(number))
    assert await store.flush(DEADLINE_S)
    assert await store.get(key(number)) == answer(number)


async def test_a_corrupt_file_is_set_aside_and_a_new_one_begun(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database " * 1000)
    with capture_logs() as logs:
        async with disk(path) as store:
            await store.put(key(1), answer(1))
            assert await store.get(key(1)) == answer(1)
    aside = list(path.parent.glob("cache.sqlite.corrupt-*"))
    assert [each.read_bytes()[:11] for each in aside] == [b"no database"]
    assert events(logs) == ["cache_corrupt"]
    assert logs[0]["set_aside"] == str(aside[0])


async def test_of_files_set_aside_only_the_newest_is_kept(path: Path) -> None:
    path.parent.mkdir()
    older = path.with_name("cache.sqlite.corrupt-20200101T000000")
    older.write_bytes(b"older")
    path.write_bytes(b"no database " * 1000)
    async with disk(path):
        pass
    assert len(list(path.parent.glob("cache.sqlite.corrupt-*"))) == 1
    assert not older.exists()


def damage(path: Path) -> None:
    """Everything but the first page."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))


async def test_damage_that_is_found_later_gives_no_wrong_answer(path: Path) -> None:
    async with disk(path, kind=DiskStore) as store:
        for number in range(300):
            await store.put(key(number), answer(number))
    damage(path)
    with capture_logs() as logs:
        async with disk(path, waits=False) as store:
            for number in range(300):
                with contextlib.suppress(StoreUnavailableError):
                    assert await store.get(key(number)) in (None, answer(number))
            await works_again(store)
    assert "cache_corrupt" in events(logs)


async def test_damage_that_a_look_up_meets_is_set_aside(path: Path) -> None:
    with capture_logs() as logs:
        async with disk(path) as store:
            for number in range(50):
                await store.put(key(number), noise(number))
            store._reader.fault = DiskFault("database disk image is malformed", advice="", is_corrupt=True)
            await until(lambda: "cache_corrupt" in events(logs), "it is set aside")
            await works_again(store)
            assert await store.get(key(1)) is None
    assert events(logs) == ["cache_corrupt"]


async def test_bytes_changed_within_an_answer_are_a_miss(path: Path) -> None:
    async with disk(path) as store:
        await store.put(key(1), answer(1))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("UPDATE entries SET content = zeroblob(length(content))")
        assert await store.get(key(1)) is None
        await store.put(key(1), answer(2))
        assert await store.get(key(1)) == answer(2)


async def test_a_database_of_something_else_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE precious (value)")
    with capture_logs() as logs:
        async with disk(path, waits=False) as store:
            await until(lambda: not store.stats().is_up, "the tier is down")
            with pytest.raises(StoreUnavailableError):
                await store.put(key(1), answer(1))
            with pytest.raises(StoreUnavailableError):
                await store.delete(key(1))
    assert events(logs) == ["cache_tier_down"]
    assert "cache.disk.path" in str(logs[0]["advice"])
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("precious",)]


async def test_a_file_of_another_version_is_left_alone(path: Path) -> None:
    async with disk(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")
    with capture_logs() as logs:
        async with disk(path, waits=False) as store:
            await until(lambda: not store.stats().is_up, "the tier is down")
    assert "another version" in str(logs[0]["reason"])
    assert path.exists()


async def test_a_place_that_cannot_be_written_is_down_and_comes_back(tmp_path: Path) -> None:
    in_the_way = tmp_path / "data"
    in_the_way.write_text("a file")
    with capture_logs() as logs:
        async with disk(in_the_way / "cache.sqlite", waits=False) as store:
            await until(lambda: not store.stats().is_up, "the tier is down")
            await asyncio.sleep(0)
            assert await store.get(key(1)) is None
            with pytest.raises(StoreUnavailableError):
                await store.put(key(1), answer(1))
            with pytest.raises(StoreUnavailableError):
                await store.clear()
            in_the_way.unlink()
            await works_again(store)
    assert events(logs) == ["cache_tier_down", "cache_tier_back"]


def with_pages(pages: list[int]) -> OpenFile:
    """A disk with room for so many pages."""

    def limit(connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA max_page_count={pages[0]}")

    return lambda path: DiskFile.open(path, limit)


async def test_a_full_disk_is_down_goes_on_answering_and_comes_back_with_what_was_in_hand(path: Path) -> None:
    pages = [100]
    with capture_logs() as logs:
        async with disk(path, open_file=with_pages(pages), kind=DiskStore) as store:
            await store.put(key(1), answer(1))
            assert await store.flush(DEADLINE_S)
            for number in range(2, 300):
                await store.put(key(number), noise(number))
            await until(lambda: not store.stats().is_up, "the tier is down")
            assert await store.get(key(1)) == answer(1)
            pages[0] = 1_000_000
            await works_again(store)
            assert await store.get(key(2)) == noise(2)
            assert await store.get(key(299)) is None  # half of what was in hand was given up
    assert events(logs) == ["cache_tier_down", "cache_tier_back"]
    assert "full" in str(logs[0]["reason"])
    assert "free some disk space" in str(logs[0]["advice"])


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of eight megabytes."""
    place = tmp_path / "volume"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], check=False)
    if done.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


async def test_a_volume_that_is_really_full_is_down_and_comes_back_when_there_is_room(small_volume: Path) -> None:
    ballast = small_volume / "ballast"
    ballast.write_bytes(bytes(7_800_000))
    with capture_logs() as logs:
        async with disk(small_volume / "cache.sqlite", limit_bytes=1 << 20, kind=DiskStore) as store:
            for number in range(200):
                with contextlib.suppress(StoreUnavailableError):
                    await store.put(key(number), noise(number, 9_000))
            await until(lambda: not store.stats().is_up, "the tier is down")
            ballast.unlink()
            await works_again(store, 999)
    assert events(logs) == ["cache_tier_down", "cache_tier_back"]
    assert "full" in str(logs[0]["reason"])


async def test_a_database_that_another_process_has_locked_is_down_until_it_is_free(path: Path) -> None:
    def impatient(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA busy_timeout=50")

    with capture_logs() as logs:
        async with disk(path, open_file=lambda at: DiskFile.open(at, impatient), kind=DiskStore) as store:
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                await store.put(key(1), answer(1))
                await until(lambda: not store.stats().is_up, "the tier is down")
                connection.execute("ROLLBACK")
            await works_again(store)
            assert await store.get(key(1)) == answer(1)
    assert events(logs) == ["cache_tier_down", "cache_tier_back"]
    assert "locked" in str(logs[0]["reason"])


async def test_a_file_that_was_deleted_is_made_anew(path: Path) -> None:
    async with disk(path, kind=DiskStore) as store:
        await store.put(key(1), answer(1))
        assert await store.flush(DEADLINE_S)
        for file in path.parent.iterdir():
            file.unlink()
        await until(path.exists, "there is a file again")
        await works_again(store)
        assert await store.get(key(1)) is None


async def test_a_bug_is_said_and_does_not_end_the_tier(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = [True]

    class Buggy(DiskFile):
        def put(self, row: object) -> None:
            if fails.pop() if fails else False:
                raise KeyError("a bug")
            super().put(row)  # type: ignore[arg-type]

    with capture_logs() as logs:
        async with disk(path, open_file=Buggy.open, kind=DiskStore) as store:
            await store.put(key(1), answer(1))
            await until(lambda: not store.stats().is_up, "the tier is down")
            await works_again(store)
    assert events(logs) == ["cache_writer_failed", "cache_tier_down", "cache_tier_back"]


async def test_answers_are_never_quoted_when_it_fails(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"secret prompt " * 1000)
    with capture_logs() as logs:
        async with disk(path, kind=SettledDisk) as store:
            await store.put(key(1), answer(1))
    assert "secret" not in str(logs)
    assert key(1).hex() not in str(logs)
