"""One line for each call at level info, without content. Lines are collected and written together, so that a busy
proxy spends next to nothing on them; nothing waits longer than a tenth of a second.
"""

import asyncio
import select
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TextIO

import orjson

from config.schema import Log
from proxy.exchange.record import NANO_PER_USD, CallRecord

_DELAY_S = 0.1
_MAX_LINES = 1000
_MAX_PIECE = select.PIPE_BUF // 2  # characters; few of them take two bytes


class CallLog:
    """The calls' log lines."""

    def __init__(self, stream: TextIO | None = None, worker: int | None = None) -> None:
        """`worker`: which of several processes this is, all of which write to the same stream."""
        self._stream = stream
        self._worker = worker
        self._lines: list[CallRecord] = []
        self._timer: asyncio.TimerHandle | None = None
        self._render: Callable[[CallRecord], str] | None = None

    def configure(self, log: Log) -> None:
        """Take the level and format from the settings."""
        stream = self._stream or sys.stderr
        is_console = log.format == "console" or (log.format == "auto" and stream.isatty())
        shown = log.level in ("debug", "info")
        self._render = (console_line if is_console else self._json_line) if shown else None

    def write(self, record: CallRecord) -> None:
        """A settled call."""
        if self._render is None:
            return
        self._lines.append(record)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY_S, self.flush)
        elif len(self._lines) >= _MAX_LINES:
            self.flush()

    def flush(self) -> None:
        """Write what is there."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if lines and self._render is not None:
            render = self._render
            stream = self._stream or sys.stderr
            try:
                for text in _pieces([render(record) + "\n" for record in lines], self._worker is not None):
                    stream.write(text)
                    stream.flush()
            except (OSError, ValueError):
                self._render = None  # standard error is gone: nothing can be said about it

    def _json_line(self, record: CallRecord) -> str:
        return json_line(record, self._worker)


def _pieces(lines: list[str], has_others: bool) -> Iterator[str]:
    """What is written at once. A pipe keeps up to PIPE_BUF bytes together; more may be mixed with others' lines."""
    if not has_others:
        yield "".join(lines)
        return
    piece = ""
    for line in lines:
        if piece and len(piece) + len(line) > _MAX_PIECE:
            yield piece
            piece = ""
        piece += line
    yield piece


def json_line(record: CallRecord, worker: int | None = None) -> str:
    """The call as one JSON object."""
    fields: dict[str, object] = {
        "time": datetime.fromtimestamp(record.started_at, UTC).isoformat(timespec="milliseconds"),
        "level": "info",
        "event": "call",
        "id": record.id,
        "client": record.client,
        "provider": record.provider,
        "operation": record.operation,
        "model": record.model,
        "status": record.status,
        "outcome": record.outcome.value,
        "streamed": record.streamed,
        "input_tokens": record.input_tokens,
        "output_tokens": record.output_tokens,
        "cost_usd": _usd(record.cost_nanousd),
        "saved_usd": _usd(record.saved_nanousd),
        "total_ms": round(record.total_ms, 2),
        "overhead_ms": round(record.overhead_ms, 3),
    }
    if record.error:
        fields["error"] = record.error
    if worker is not None:
        fields["worker"] = worker
    if record.labels:
        fields["labels"] = record.labels
    return orjson.dumps(fields).decode()


def console_line(record: CallRecord) -> str:
    """The call for a person's eyes."""
    time = datetime.fromtimestamp(record.started_at, UTC).astimezone().strftime("%H:%M:%S")
    cost = "unpriced" if record.cost_nanousd is None else f"${record.cost_nanousd / NANO_PER_USD:.6f}"
    saved = f" saved ${record.saved_nanousd / NANO_PER_USD:.6f}" if record.saved_nanousd else ""
    error = f" ({record.error})" if record.error else ""
    return (
        f"{time} {record.outcome.value:<9} {record.status} {record.provider}/{record.operation} {record.model or '-'} "
        f"{record.input_tokens}+{record.output_tokens} tokens {cost}{saved} {record.total_ms:.1f} ms{error}"
    )


def _usd(nanousd: int | None) -> float | str:
    return "unpriced" if nanousd is None else round(nanousd / NANO_PER_USD, 9)
