"""The store and its schema: what is written is what is read, whatever the way; old and new versions get along."""

import contextlib
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, make_url, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

from proxy.exchange.record import CallRecord, Outcome
from proxy.ledger import spill
from proxy.ledger.engine import open_reader
from proxy.ledger.faults import LedgerError, StoreError
from proxy.ledger.location import default_url, safe_name, sqlite_path
from proxy.ledger.migrate import SCRIPTS, ensure_schema, upgrade, version_of
from proxy.ledger.opening import open_store
from proxy.ledger.report import build_report
from proxy.ledger.rows import HEAD
from proxy.ledger.schema import calls, metadata
from proxy.ledger.sql_store import SqlStore
from proxy.ledger.store import Written
from tests.ledger.conftest import Fill, ReadIds
from tests.ledger.rows import NOON, call
from tests.ledger.rows import calls as some_calls

FULL = call(
    7,
    outcome=Outcome.COLLAPSED,
    streamed=True,
    estimated=True,
    cost_nanousd=None,
    saved_nanousd=2**62,
    first_byte_ms=None,
    labels={"app": "ä", "team": 'x"y'},
    error="client_disconnected",
)


def read_back(engine: Engine) -> list[CallRecord]:
    names = [field.name for field in fields(CallRecord)]
    with engine.connect() as connection:
        rows = connection.execute(select(*(calls.c[name] for name in names)).order_by(calls.c.id)).mappings().all()
    return [CallRecord(**{**row, "outcome": Outcome(row["outcome"])}) for row in rows]


def test_every_field_of_a_call_is_a_column() -> None:
    assert [column.name for column in calls.columns] == [*(field.name for field in fields(CallRecord)), "minute"]


def test_a_call_is_read_as_it_was_written(fill: Fill, url: str) -> None:
    fill([call(1), FULL])
    engine = open_reader(url)
    assert read_back(engine) == [call(1), FULL]


def test_the_general_way_of_inserting_writes_the_same(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/named.sqlite", paramstyle="named")
    try:
        ensure_schema(engine)
        store = SqlStore(engine)
        assert store.write([call(1), FULL]) == Written(2)
        assert store.write([call(1), call(2)]) == Written(2)
        assert read_back(engine) == [call(1), call(2), FULL]
    finally:
        engine.dispose()


def test_a_batch_may_be_written_twice(url: str, ids: ReadIds) -> None:
    store = open_store(url)
    assert store.write(some_calls(10)) == Written(10)
    assert store.write(some_calls(15)) == Written(15)
    store.close()
    assert len(ids()) == 15


@pytest.mark.parametrize(
    "bad",
    [
        {"cost_nanousd": 2**63},
        {"model": "\ud800"},
        {"client": None},
        {"labels": {1: object()}},
        {"total_ms": object()},
    ],
)
def test_a_row_that_is_refused_does_not_keep_others_out(bad: dict[str, object], url: str, ids: ReadIds) -> None:
    store = open_store(url)
    assert store.write([call(1), call(2, **bad), call(3)]) == Written(2, refused=1)
    store.close()
    assert ids() == [call(1).id, call(3).id]


def test_pruning_takes_the_oldest_and_no_more_than_asked(url: str, ids: ReadIds) -> None:
    store = open_store(url)
    store.write(some_calls(30))
    assert store.prune(NOON + 2, 5) == 5
    assert ids()[0] == call(5).id
    assert store.prune(NOON + 2, 100) == 15
    assert store.prune(NOON + 2, 100) == 0
    store.close()
    assert ids() == [call(number).id for number in range(20, 30)]


def test_a_file_that_was_replaced_is_noticed(url: str) -> None:
    store = open_store(url)
    path = sqlite_path(url)
    assert path is not None
    path.rename(path.with_suffix(".moved"))
    with pytest.raises(StoreError):
        store.write([call(1)])
    path.write_bytes(b"")
    with pytest.raises(StoreError, match="replaced"):
        store.write([call(1)])
    store.close()


def test_a_failing_trigger_leaves_nothing_of_the_batch(url: str, ids: ReadIds) -> None:
    trigger = "CREATE TRIGGER no BEFORE INSERT ON calls WHEN NEW.model = 'm' BEGIN SELECT RAISE(FAIL, 'no'); END"
    store = open_store(url)
    with contextlib.closing(sqlite3.connect(str(sqlite_path(url)))) as other:
        other.execute(trigger)
    assert store.write([call(1), call(2, model="m")]) == Written(1, refused=1)
    store.close()
    assert ids() == [call(1).id]


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_the_migrations_lead_to_the_schema(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/migrated.sqlite")
    try:
        with engine.begin() as connection:
            upgrade(connection)
        with engine.connect() as connection:
            assert version_of(connection) == HEAD
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    finally:
        engine.dispose()


def test_an_older_ledger_is_upgraded_and_keeps_its_version_table(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/old.sqlite")
    try:
        ensure_schema(engine)
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE calls"))
            connection.execute(text("DELETE FROM alembic_version"))
            connection.execute(text("INSERT INTO alembic_version VALUES ('0000')"))
        with pytest.raises(StoreError, match="0000"):  # known to no migration
            ensure_schema(engine)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM alembic_version"))
        ensure_schema(engine)
        assert SqlStore(engine).write([call(1)]) == Written(1)
    finally:
        engine.dispose()


def test_a_newer_ledger_is_written_to(url: str, ids: ReadIds, fill: Fill) -> None:
    fill([call(1)])
    engine = create_engine(f"sqlite:///{sqlite_path(url)}")
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE calls ADD COLUMN later TEXT NOT NULL DEFAULT ''"))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    fill([call(2)])
    assert ids() == [call(1).id, call(2).id]


def test_a_file_is_opened_without_sqlalchemy_unless_a_migration_is_due(url: str) -> None:
    script = (
        "import sys\nfrom proxy.ledger.writer import LedgerWriter\nfrom proxy.ledger.opening import open_store\n"
        f"for _ in range(2): open_store({url!r}).close()\n"
        "print([name for name in ('alembic', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_sqlite_files_are_made_as_the_schema_says(url: str) -> None:
    open_store(url).close()
    engine = create_engine("sqlite://")
    with contextlib.closing(sqlite3.connect(str(sqlite_path(url)))) as ours, engine.connect() as theirs:
        metadata.create_all(theirs)
        made = "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'calls' AND sql IS NOT NULL ORDER BY name"
        assert _squeezed(ours.execute(made)) == _squeezed(theirs.exec_driver_sql(made))
    engine.dispose()


def _squeezed(rows: Iterable[Sequence[str]]) -> dict[str, str]:
    return {name: "".join(sql.split()) for name, sql in rows}


def test_the_file_is_stamped_as_by_the_migrations(url: str) -> None:
    open_store(url).close()
    engine = create_engine(f"sqlite:///{sqlite_path(url)}")
    try:
        with engine.connect() as connection:
            assert version_of(connection) == HEAD
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    finally:
        engine.dispose()


@pytest.mark.parametrize("stamp", ["DELETE FROM alembic_version", "DROP TABLE alembic_version"])
def test_an_older_file_is_upgraded(url: str, stamp: str, ids: ReadIds) -> None:
    open_store(url).close()
    with contextlib.closing(sqlite3.connect(str(sqlite_path(url)), isolation_level=None)) as other:
        other.execute("DROP TABLE calls")
        other.execute(stamp)
    store = open_store(url)
    assert store.write([call(1)]) == Written(1)
    store.close()
    assert ids() == [call(1).id]


def test_a_file_of_an_unknown_version_is_left_alone(url: str) -> None:
    open_store(url).close()
    with contextlib.closing(sqlite3.connect(str(sqlite_path(url)), isolation_level=None)) as other:
        other.execute("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(StoreError, match="0000"):
        open_store(url)
    with contextlib.closing(sqlite3.connect(str(sqlite_path(url)))) as other:
        assert other.execute("SELECT version_num FROM alembic_version").fetchall() == [("0000",)]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("sqlite:////var/lib/a.sqlite", "/var/lib/a.sqlite"),
        ("sqlite:///near.sqlite", "near.sqlite"),
        ("sqlite+pysqlite:////var/a.sqlite", "/var/a.sqlite"),
        ("sqlite:////var/a%20b.sqlite", "/var/a b.sqlite"),
        ("sqlite:////var/a.sqlite?timeout=3", "/var/a.sqlite"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("postgresql+psycopg://me@db/ledger", None),
    ],
)
def test_urls_mean_what_sqlalchemy_says(given: str, path: str | None) -> None:
    assert sqlite_path(given) == (Path(path) if path else None)
    database = make_url(given).database
    assert path is None or database == path


def test_a_default_url_leads_back_to_its_file(tmp_path: Path) -> None:
    for name in ("plain", "a b", "100%", "q?x", "hash#1"):
        assert sqlite_path(default_url(tmp_path / name)) == tmp_path / name / "ledger.sqlite"
        assert make_url(default_url(tmp_path / name)).database == str(tmp_path / name / "ledger.sqlite")


def test_proxies_that_start_together_agree(url: str) -> None:
    faults: list[StoreError] = []

    def open_once() -> None:
        try:
            open_store(url).close()
        except StoreError as error:
            faults.append(error)

    threads = [threading.Thread(target=open_once) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert faults == []


def test_the_schema_is_valid_for_postgresql() -> None:
    dialect = postgresql.dialect()
    table = str(CreateTable(calls).compile(dialect=dialect))
    assert "cost_nanousd BIGINT" in table
    assert "WITHOUT ROWID" not in table
    assert "DOUBLE PRECISION" in table
    assert [str(CreateIndex(index).compile(dialect=dialect)) for index in calls.indexes]


def test_reading_does_not_create_a_ledger(url: str) -> None:
    with pytest.raises(LedgerError, match="no call has been recorded"):
        open_reader(url)
    path = sqlite_path(url)
    assert path is not None
    assert not path.exists()


def test_the_reader_cannot_write(fill: Fill, url: str) -> None:
    fill([call(1)])
    with open_reader(url).connect() as connection, pytest.raises(OperationalError, match="readonly"):
        connection.execute(text("DELETE FROM calls"))


def test_reports_are_made_while_the_proxy_writes(url: str) -> None:
    store = open_store(url)
    for number in range(5):
        store.write(some_calls(100, first=number * 100))
        report = build_report(
            url, since=datetime.fromtimestamp(NOON - 1, UTC), now=datetime.fromtimestamp(NOON + 3600, UTC)
        )
        assert report.totals.calls == (number + 1) * 100
    store.close()


def test_a_password_is_not_in_the_ledgers_name() -> None:
    assert safe_name("postgresql+psycopg://me:secret@db/ledger") == "postgresql+psycopg://me:***@db/ledger"


KILLED = """
import asyncio, sys
sys.path.insert(0, {root!r})
from config.schema import Ledger
from proxy.ledger.writer import LedgerWriter
from tests.ledger.rows import NOON, calls

async def main():
    writer = LedgerWriter({url!r}, Ledger(flush_s=0.01, batch_rows=50), clock=lambda: NOON)
    writer.start()
    for number in range(10_000):
        for row in calls(100, first=number * 100):
            writer.record(row)
        await writer.flush(10)
        print(writer.status().written, flush=True)

asyncio.run(main())
"""


def test_what_was_flushed_survives_a_kill(url: str, ids: ReadIds) -> None:
    script = KILLED.format(root=str(Path(__file__).parents[2]), url=url)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        flushed = 0
        while flushed < 500:
            flushed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    found = ids()
    assert len(found) >= 500
    assert found == [row.id for row in some_calls(len(found))]
    store = open_store(url)
    assert store.write([call(10_000_000)]) == Written(1)
    store.close()


@pytest.mark.parametrize("batch_rows", [1, 3, 500])
def test_a_spill_is_read_back_whole_but_for_broken_lines(tmp_path: Path, batch_rows: int) -> None:
    path = tmp_path / "spill.jsonl"
    assert spill.spill(path, some_calls(5)) == 5
    with path.open("ab") as file:
        file.write(b'[]\n{"id": "x"}\n{"unknown": 1}\n')
    assert spill.spill(path, [FULL]) == 1
    with path.open("ab") as file:
        file.write(b'{"id": "0000')
    rows: list[CallRecord] = []
    assert spill.replay(path, batch_rows, rows.extend) == spill.Replayed(6, 4)
    assert rows == [*some_calls(5), FULL]
    assert not spill.has_spilled(path)


def test_a_spill_that_cannot_be_taken_stays(tmp_path: Path) -> None:
    path = tmp_path / "spill.jsonl"
    spill.spill(path, some_calls(5))

    def refuse(_rows: object) -> None:
        raise StoreError("full", advice="")

    with pytest.raises(StoreError):
        spill.replay(path, 2, refuse)
    taken: list[CallRecord] = []
    assert spill.replay(path, 2, taken.extend).rows == 5


def test_a_spill_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "LIMIT_BYTES", 2_000)
    path = tmp_path / "spill.jsonl"
    first = spill.spill(path, some_calls(20))
    assert 0 < first < 20
    assert spill.spill(path, some_calls(20)) == 0
    assert path.stat().st_size <= 2_000


def test_a_ledger_of_the_first_version_gets_the_columns_that_came_later(url: str, fill: Fill) -> None:
    fill([call(1)])
    with contextlib.closing(sqlite3.connect(str(sqlite_path(url)))) as older:
        for column in ("fingerprint", "prompt_cache"):
            older.execute(f"ALTER TABLE calls DROP COLUMN {column}")
        older.execute("UPDATE alembic_version SET version_num = '0001'")
        older.commit()
    fill([call(2, fingerprint="ab" * 12)])
    with contextlib.closing(sqlite3.connect(str(sqlite_path(url)))) as found:
        rows = found.execute("SELECT fingerprint, prompt_cache FROM calls ORDER BY id").fetchall()
    assert rows == [("", None), ("ab" * 12, None)]
