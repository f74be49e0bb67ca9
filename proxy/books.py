"""What is kept of calls that have come to their end: metrics, counts, the log's lines, rows in the ledger.

Rule: a call is told once, by the stage meter, and never waits for any of them.
"""

import structlog

from config.schema import Log, Settings
from proxy.call_log import CallLog
from proxy.counters import Counters
from proxy.exchange.model import Exchange
from proxy.exchange.record import CallRecord
from proxy.ledger.location import url_of
from proxy.ledger.writer import LedgerWriter
from proxy.metrics import Metrics

log = structlog.get_logger(__name__)


class Books:
    """See the module. `worker`: which of several processes this is, if there are several."""

    def __init__(self, settings: Settings, metrics: Metrics, worker: int | None) -> None:
        self.counters = Counters()
        self.ledger = _opened(settings, keeps_house=not worker)
        self._metrics = metrics
        self._calls = CallLog(worker=worker)
        self.configure(settings.log)

    def configure(self, settings: Log) -> None:
        """Take the level and format of the log's lines."""
        self._calls.configure(settings)

    def start(self) -> None:
        """Begin to write the ledger."""
        if self.ledger is not None:
            self.ledger.start()

    def settled(self, record: CallRecord) -> None:
        """A call has come to its end."""
        self._metrics.calls.observe(record)
        self.counters.count(record)
        self._calls.write(record)
        if self.ledger is not None:
            self.ledger.record(record)

    def stage_failed(self, stage: str, exchange: Exchange, failure: Exception) -> None:
        """A stage failed, and was left out."""
        self._metrics.stage_failures.labels(stage).inc()
        log.error("stage_failed", stage=stage, exchange=exchange.id, error=type(failure).__name__, exc_info=failure)

    async def close(self, deadline_s: float) -> None:
        """Write what waits."""
        self._calls.flush()
        if self.ledger is not None:
            await self.ledger.close(deadline_s)


def _opened(settings: Settings, *, keeps_house: bool) -> LedgerWriter | None:
    if not settings.ledger.enabled:
        return None
    spill = settings.data_dir / "ledger-spill.jsonl"
    return LedgerWriter(url_of(settings), settings.ledger, spill_path=spill, keeps_house=keeps_house)
