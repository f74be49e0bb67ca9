"""A ledger in a directory of its own, and a writer on it that is closed whatever happens."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from config.schema import Ledger
from proxy.exchange.record import CallRecord
from proxy.ledger.location import default_url, sqlite_path
from proxy.ledger.opening import open_store as open_any
from proxy.ledger.writer import LedgerWriter, OpenStore
from tests.ledger.rows import NOON

type StartWriter = Callable[..., LedgerWriter]
type ReadIds = Callable[[], list[str]]
type Fill = Callable[[Sequence[CallRecord]], None]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return default_url(tmp_path / "data")


@pytest.fixture
def fill(url: str) -> Fill:
    """Puts rows into the ledger, without a writer."""

    def write(rows: Sequence[CallRecord]) -> None:
        store = open_any(url)
        store.write(rows)
        store.close()

    return write


@pytest.fixture
def ids(url: str) -> ReadIds:
    """The identifiers in the ledger, in order."""

    def read() -> list[str]:
        path = sqlite_path(url)
        assert path is not None
        engine = create_engine(f"sqlite:///{path}")
        try:
            with engine.connect() as connection:
                return [row[0] for row in connection.execute(text("SELECT id FROM calls ORDER BY id"))]
        finally:
            engine.dispose()

    return read


@pytest.fixture
async def start(url: str) -> AsyncIterator[StartWriter]:
    """Starts writers that turn at once, and closes them."""
    started: list[Callable[[float], Awaitable[None]]] = []

    def make(
        settings: Ledger | None = None,
        *,
        open_store: OpenStore = open_any,
        clock: Callable[[], float] = lambda: NOON,
        at: str = url,
        spill_path: Path | None = None,
    ) -> LedgerWriter:
        writer = LedgerWriter(
            at, settings or Ledger(flush_s=0.01), clock=clock, open_store=open_store, spill_path=spill_path
        )
        writer.start()
        started.append(writer.close)
        return writer

    yield make
    for close in started:
        await close(10)
