"""Logs: structured, one line each, on standard error.

Rules: a level that is off costs next to nothing. What libraries log through the standard library comes the same way,
from `warning` on, and only its first line: later lines may show what a message contained. Of an exception its type
and places are logged, and its text only where the operating system wrote it, for the same reason.
"""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from config.schema import Log

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_LIBRARY_LEVEL: Final = logging.WARNING
_MAX_TEXT: Final = 500
_MAX_FRAMES: Final = 8


def setup(settings: Log, stream: TextIO | None = None, worker: int | None = None) -> None:
    """Send all logs to `stream` (standard error). May be called again when the settings change. Lines say which
    worker they come from, if it is one of several."""
    target = sys.stderr if stream is None else stream
    is_console = settings.format == "console" or (settings.format == "auto" and target.isatty())
    renderer = _console(target.isatty()) if is_console else _json_line
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *_shared(worker), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=False,  # loggers of modules follow a change of level
    )
    handler = _LibraryHandler(target, renderer, worker)
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _LibraryHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_LIBRARY_LEVEL)
    # Libraries that set a level of their own would go past the root's.
    for name in ("mitmproxy", "asyncio", "alembic", "sqlalchemy", "aiohttp", "hpack", "h2"):
        logging.getLogger(name).setLevel(max(_LIBRARY_LEVEL, _LEVELS[settings.level]))
    # Which listener could not be opened, and why, is said at the end of the start.
    logging.getLogger("mitmproxy.addons.proxyserver").setLevel(logging.CRITICAL)


class _LibraryHandler(logging.Handler):
    """Renders a library's record as our own events are rendered."""

    def __init__(self, stream: TextIO, renderer: Processor, worker: int | None = None) -> None:
        super().__init__(_LIBRARY_LEVEL)
        self._stream = stream
        self._processors = [*_shared(worker), renderer]

    def emit(self, record: logging.LogRecord) -> None:
        """One line. A record that cannot be rendered is left to logging's own error handling."""
        try:
            text = record.getMessage().partition("\n")[0][:_MAX_TEXT]
            event: EventDict = {"event": "library_log", "logger": record.name, "message": text}
            if record.exc_info:
                event["exc_info"] = record.exc_info
            rendered: object = event
            for processor in self._processors:
                rendered = processor(None, record.levelname.lower(), _as_event(rendered))
            self._stream.write(f"{rendered}\n")
            self._stream.flush()
        except Exception:  # noqa: BLE001 - the contract of logging.Handler: a log line never fails its caller
            self.handleError(record)


def _as_event(value: object) -> EventDict:
    if not isinstance(value, MutableMapping):
        raise TypeError("only the last processor renders")
    return value


def _shared(worker: int | None) -> list[Processor]:
    def numbered(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["worker"] = worker
        return event

    return [
        *([] if worker is None else [numbered]),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _describe_exception,
    ]


def _describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    exc_info = event.pop("exc_info", None)
    if exc_info is None or exc_info is False:
        return event
    if isinstance(exc_info, BaseException):
        failure: BaseException | None = exc_info
    else:
        failure = exc_info[1] if isinstance(exc_info, tuple) else sys.exception()
    if failure is not None:
        event["exception"] = _kinds(failure)
        frames = traceback.extract_tb(failure.__traceback__)[-_MAX_FRAMES:]
        event["where"] = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return event


def _kinds(failure: BaseException) -> str:
    """The exception and its causes."""
    names = []
    seen: set[int] = set()
    current: BaseException | None = failure
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        text = f" ({current.strerror})" if isinstance(current, OSError) and current.strerror else ""
        names.append(type(current).__name__ + text)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return " from ".join(names)


def _json_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    first = {key: event.pop(key) for key in ("time", "level", "event")}
    return orjson.dumps(first | dict(event), default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _console(has_colors: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(colors=has_colors, timestamp_key="time")
