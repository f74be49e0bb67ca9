"""The writer's promises: nothing is lost, nothing blocks, trouble is said once and survived."""

import asyncio
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from config.schema import Ledger
from proxy.exchange.record import CallRecord
from proxy.ledger.faults import StoreError
from proxy.ledger.location import sqlite_path
from proxy.ledger.opening import open_store
from proxy.ledger.store import Written
from proxy.ledger.writer import LedgerWriter
from tests.ledger.conftest import Fill, ReadIds, StartWriter
from tests.ledger.rows import NOON, call, calls

DAY = 86_400.0


async def until(condition: Callable[[], bool], deadline_s: float = 10.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        await asyncio.sleep(0.005)


class ScriptedStore:
    """Remembers rows; fails while `fault` is set; waits while `gate` is closed."""

    def __init__(self) -> None:
        self.rows: list[CallRecord] = []
        self.fault: StoreError | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Event()
        self.attempts = 0
        self.pruned: list[float] = []

    def open(self, _url: str) -> "ScriptedStore":
        return self

    def write(self, rows: Sequence[CallRecord]) -> Written:
        self.attempts += 1
        self.busy.set()
        assert self.gate.wait(30)
        if self.fault is not None:
            raise self.fault
        self.rows.extend(rows)
        return Written(len(rows))

    def prune(self, before: float, limit: int) -> int:
        self.pruned.append(before)
        return 0

    def close(self) -> None:
        pass


async def test_recorded_rows_are_in_the_ledger_after_a_flush(start: StartWriter, ids: ReadIds) -> None:
    writer = start()
    rows = calls(1200)
    for row in rows:
        writer.record(row)
    assert await writer.flush(10)
    assert ids() == [row.id for row in rows]
    assert writer.status().written == 1200


async def test_rows_keep_their_order(start: StartWriter) -> None:
    store = ScriptedStore()
    writer = start(open_store=store.open)
    for row in calls(2000):
        writer.record(row)
    assert await writer.flush(10)
    assert [row.id for row in store.rows] == [row.id for row in calls(2000)]


async def test_rows_recorded_before_the_start_are_written(url: str, ids: ReadIds) -> None:
    writer = LedgerWriter(url, Ledger())
    writer.record(call(1))
    writer.start()
    await writer.close(10)
    assert ids() == [call(1).id]


async def test_close_loses_nothing(start: StartWriter, ids: ReadIds) -> None:
    writer = start(Ledger(flush_s=60))
    for row in calls(777):
        writer.record(row)
    await writer.close(10)
    assert len(ids()) == 777
    assert writer.status().lost == 0


async def test_a_full_batch_is_written_without_waiting_for_the_interval(start: StartWriter) -> None:
    store = ScriptedStore()
    writer = start(Ledger(flush_s=600, batch_rows=10), open_store=store.open)
    assert await writer.flush(10)
    for row in calls(10):
        writer.record(row)
    await until(lambda: len(store.rows) == 10)


async def test_recording_does_not_wait_for_a_store_that_hangs(start: StartWriter) -> None:
    store = ScriptedStore()
    store.gate.clear()
    writer = start(open_store=store.open)
    writer.record(call(0))
    await asyncio.to_thread(store.busy.wait, 10)
    began = time.perf_counter()
    for row in calls(1000, first=1):
        writer.record(row)
    assert time.perf_counter() - began < 1
    assert not await writer.flush(0.01)
    store.gate.set()
    assert await writer.flush(10)
    assert len(store.rows) == 1001


async def test_a_full_queue_drops_counts_and_says_so_once(start: StartWriter) -> None:
    store = ScriptedStore()
    store.fault = StoreError("database or disk is full", advice="free some")
    with capture_logs() as logs:
        writer = start(Ledger(flush_s=0.01, queue_rows=100), open_store=store.open)
        for row in calls(300):
            writer.record(row)
        await until(lambda: any(line["event"] == "ledger_queue_full" for line in logs))
        for row in calls(50, first=300):
            writer.record(row)
        status = writer.status()
        assert status.queued <= 100
        assert status.lost + status.queued == 350
        store.fault = None
        assert await writer.flush(10)
    assert len(store.rows) + writer.status().lost == 350
    assert [line["event"] for line in logs].count("ledger_queue_full") == 1


async def test_trouble_is_said_once_with_the_path_and_what_to_do(start: StartWriter, url: str) -> None:
    store = ScriptedStore()
    store.fault = StoreError("database or disk is full", advice="free some disk space")
    with capture_logs() as logs:
        writer = start(open_store=store.open)
        writer.record(call(1))
        for attempt in range(1, 4):
            await until(lambda attempt=attempt: store.attempts >= attempt)
            await writer.flush(0.01)
        assert writer.status().state == "degraded"
        assert writer.status().reason == "database or disk is full"
        store.fault = None
        assert await writer.flush(10)
        await until(lambda: writer.status().state == "ok")
    told = [line for line in logs if line["event"] == "ledger_degraded"]
    assert len(told) == 1
    assert told[0]["ledger"] == str(sqlite_path(url))
    assert told[0]["advice"] == "free some disk space"
    assert [line["event"] for line in logs].count("ledger_recovered") == 1
    assert [row.id for row in store.rows] == [call(1).id]


async def test_a_bug_in_the_store_does_not_end_the_thread(start: StartWriter) -> None:
    store = ScriptedStore()
    store.fault = RuntimeError("a bug")  # type: ignore[assignment]
    writer = start(open_store=store.open)
    writer.record(call(1))
    await until(lambda: writer.status().state == "degraded")
    assert "RuntimeError" in writer.status().reason
    store.fault = None
    assert await writer.flush(10)
    assert len(store.rows) == 1


async def test_a_full_disk_keeps_the_rows_until_there_is_room(start: StartWriter, url: str, ids: ReadIds) -> None:
    pages = [60]

    def limit(connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA max_page_count={pages[0]}")

    writer = start(open_store=lambda at: open_store(at, limit))
    rows = calls(3000)
    for row in rows:
        writer.record(row)
    await until(lambda: writer.status().state == "degraded")
    assert writer.status().reason == "database or disk is full"
    assert writer.status().queued > 0
    pages[0] = 1_000_000
    assert await writer.flush(10)
    assert ids() == [row.id for row in rows]
    assert writer.status().lost == 0


async def test_a_ledger_that_cannot_be_opened_is_degraded_not_fatal(start: StartWriter, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    writer = start(at=f"sqlite:///{tmp_path}/file/ledger.sqlite", spill_path=tmp_path / "spill.jsonl")
    writer.record(call(1))
    await until(lambda: writer.status().state == "degraded")
    assert writer.status().queued == 1
    (tmp_path / "file").unlink()
    assert await writer.flush(10)
    assert writer.status().state == "ok"


async def test_a_driver_that_is_missing_is_degraded_not_fatal(start: StartWriter) -> None:
    writer = start(at="mysql://me:secret@db/ledger")
    writer.record(call(1))
    await until(lambda: writer.status().state == "degraded")
    assert "driver" in writer.status().reason


async def test_a_ledger_whose_directory_vanished_is_begun_anew(start: StartWriter, url: str, ids: ReadIds) -> None:
    writer = start()
    writer.record(call(1))
    assert await writer.flush(10)
    path = sqlite_path(url)
    assert path is not None
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    writer.record(call(2))
    assert await writer.flush(10)
    assert ids() == [call(2).id]


async def test_a_locked_ledger_keeps_the_rows(start: StartWriter, url: str, ids: ReadIds) -> None:
    writer = start(open_store=lambda at: open_store(at, lambda c: c.execute("PRAGMA busy_timeout=1") and None))
    assert await writer.flush(10)
    other = sqlite3.connect(str(sqlite_path(url)), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer.record(call(1))
    await until(lambda: writer.status().state == "degraded")
    assert writer.status().reason == "database is locked"
    other.execute("ROLLBACK")
    other.close()
    assert await writer.flush(10)
    assert ids() == [call(1).id]


async def test_what_cannot_be_written_at_the_end_is_spilled_and_read_back(
    start: StartWriter, url: str, ids: ReadIds
) -> None:
    store = ScriptedStore()
    store.fault = StoreError("database or disk is full", advice="")
    writer = start(open_store=store.open)
    rows = [*calls(600), call(600, labels={"app": 'a "quoted" näme'}, cost_nanousd=None)]
    for row in rows:
        writer.record(row)
    await writer.close(10)
    path = sqlite_path(url)
    assert path is not None
    spilled = path.with_name("ledger-spill.jsonl")
    assert stat.S_IMODE(spilled.stat().st_mode) == 0o600
    assert len(spilled.read_bytes().splitlines()) == 601
    assert writer.status().lost == 0

    again = start()
    assert await again.flush(10)
    assert ids() == [row.id for row in rows]
    assert spilled.stat().st_size == 0


async def test_rows_that_can_neither_be_written_nor_spilled_are_counted(start: StartWriter, tmp_path: Path) -> None:
    store = ScriptedStore()
    store.fault = StoreError("database or disk is full", advice="")
    (tmp_path / "file").write_text("in the way")
    with capture_logs() as logs:
        writer = start(open_store=store.open, spill_path=tmp_path / "file" / "spill.jsonl")
        for row in calls(5):
            writer.record(row)
        await writer.close(10)
    assert writer.status().lost == 5
    assert [line["lost"] for line in logs if line["event"] == "ledger_spilled"] == [5]


async def test_close_does_not_outlast_its_deadline(start: StartWriter, tmp_path: Path) -> None:
    store = ScriptedStore()
    store.gate.clear()
    spilled = tmp_path / "spill.jsonl"
    writer = start(Ledger(flush_s=0.01, batch_rows=10), open_store=store.open, spill_path=spilled)
    for row in calls(25):
        writer.record(row)
    await asyncio.to_thread(store.busy.wait, 10)
    await writer.close(0.05)
    assert len(spilled.read_bytes().splitlines()) == 25  # those in the hanging write, too
    store.gate.set()
    await until(lambda: all(thread.name != "ledger" for thread in threading.enumerate()))


async def test_rows_after_the_close_are_counted_as_lost(start: StartWriter) -> None:
    writer = start()
    await writer.close(10)
    writer.record(call(1))
    assert writer.status().lost == 1
    assert await writer.flush(1)


async def test_a_corrupt_ledger_is_set_aside(start: StartWriter, url: str, ids: ReadIds) -> None:
    path = sqlite_path(url)
    assert path is not None
    path.parent.mkdir()
    path.write_bytes(b"no database " * 1000)
    with capture_logs() as logs:
        writer = start()
        writer.record(call(1))
        assert await writer.flush(10)
    assert ids() == [call(1).id]
    aside = path.with_name("ledger.sqlite.corrupt-20260101T120000")
    assert aside.read_bytes().startswith(b"no database")
    assert [line["set_aside"] for line in logs if line["event"] == "ledger_corrupt"] == [str(aside)]
    assert writer.status().state == "ok"


async def test_a_ledger_that_turns_corrupt_while_open_is_set_aside(start: StartWriter, url: str, ids: ReadIds) -> None:
    writer = start()
    for row in calls(500):
        writer.record(row)
    await writer.close(10)
    path = sqlite_path(url)
    assert path is not None
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    again = start()
    again.record(call(1000))
    assert await again.flush(10)
    assert ids() == [call(1000).id]


async def test_a_foreign_file_is_not_moved(start: StartWriter, tmp_path: Path) -> None:
    foreign = tmp_path / "passwords"
    foreign.write_text("not ours " * 200)
    writer = start(at=f"sqlite:///{foreign}")
    await until(lambda: writer.status().state == "degraded")
    assert foreign.read_text().startswith("not ours")


async def test_old_rows_are_pruned_at_the_start_and_once_a_day(start: StartWriter, fill: Fill, ids: ReadIds) -> None:
    now = [NOON]
    old = [call(number, started_at=NOON - 2 * DAY - 1) for number in range(4500)]
    fill([*old, call(9000, started_at=NOON), call(9001, started_at=NOON + DAY)])
    start(Ledger(flush_s=0.01, keep_days=2), clock=lambda: now[0])
    await until(lambda: len(ids()) == 2)
    now[0] = NOON + 2 * DAY + 1
    await until(lambda: ids() == [call(9001).id])


async def test_the_ledger_is_private(start: StartWriter, url: str) -> None:
    writer = start()
    writer.record(call(1))
    assert await writer.flush(10)
    path = sqlite_path(url)
    assert path is not None
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {
        "ledger.sqlite": 0o600,
        "ledger.sqlite-wal": 0o600,
        "ledger.sqlite-shm": 0o600,
    }


def test_a_url_that_is_none_is_refused_without_being_quoted() -> None:
    with pytest.raises(ValueError, match="not a database URL") as caught:
        LedgerWriter("secret", Ledger())
    assert "secret" not in str(caught.value)
