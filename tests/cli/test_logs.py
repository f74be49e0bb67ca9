"""What a log line shows, and what it never shows."""

import io
import logging
from collections.abc import Callable, Iterator

import orjson
import pytest
import structlog

from config.schema import Log
from proxy.logs import setup

type Lines = Callable[[], list[dict[str, object]]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    before = dict(structlog.get_config())
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("mitmproxy", "asyncio", "alembic", "sqlalchemy", "aiohttp", "hpack", "h2"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.configure(**before)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def lines(stream: io.StringIO) -> Lines:
    return lambda: [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line(stream: io.StringIO, lines: Lines) -> None:
    setup(Log(), stream)
    structlog.get_logger("some.module").info("started", port=1, text="a\nb")
    [line] = lines()
    assert line.pop("time")
    assert line == {"event": "started", "port": 1, "text": "a\nb", "level": "info"}


def test_a_terminal_gets_text(stream: io.StringIO) -> None:
    terminal = Terminal()
    setup(Log(), terminal)
    structlog.get_logger().info("started", port=1)
    assert "started" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


@pytest.mark.parametrize(("wanted", "is_json"), [("json", True), ("console", False)])
def test_the_format_can_be_chosen(wanted: str, is_json: bool) -> None:
    stream = Terminal() if is_json else io.StringIO()
    setup(Log.model_validate({"format": wanted}), stream)
    structlog.get_logger().info("started")
    assert stream.getvalue().startswith("{") is is_json


def test_lower_levels_are_off(stream: io.StringIO, lines: Lines) -> None:
    setup(Log(level="warning"), stream)
    log = structlog.get_logger()
    log.debug("a")
    log.info("b")
    log.warning("c")
    assert [line["event"] for line in lines()] == ["c"]


def test_a_second_setup_changes_the_level_of_loggers_in_use(stream: io.StringIO, lines: Lines) -> None:
    log = structlog.get_logger()
    setup(Log(level="error"), stream)
    log.info("a")
    setup(Log(level="debug"), stream)
    log.debug("b")
    logging.getLogger("mitmproxy").warning("once")
    assert [line["event"] for line in lines()] == ["b", "library_log"]


@pytest.mark.parametrize("name", ["mitmproxy.proxy", "asyncio", "alembic.runtime", "anything"])
def test_libraries_are_heard_from_warning_on(stream: io.StringIO, lines: Lines, name: str) -> None:
    setup(Log(level="debug"), stream)
    logging.getLogger(name).info("quiet")
    logging.getLogger(name).warning("loud %s", 1)
    assert [(line["logger"], line["message"], line["level"]) for line in lines()] == [(name, "loud 1", "warning")]


def test_only_the_first_line_of_a_librarys_message_is_shown(stream: io.StringIO) -> None:
    setup(Log(), stream)
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: <Task exception='my prompt'>")
    assert "never retrieved" in stream.getvalue()
    assert "my prompt" not in stream.getvalue()


def test_an_exception_shows_its_kind_and_place_but_not_its_text(stream: io.StringIO, lines: Lines) -> None:
    setup(Log(), stream)
    try:
        try:
            raise KeyError("my prompt")
        except KeyError as exc:
            raise ValueError("my prompt") from exc
    except ValueError as exc:
        structlog.get_logger().exception("failed")
        structlog.get_logger().error("failed", exc_info=exc)
        logging.getLogger("lib").exception("failed")
    assert "my prompt" not in stream.getvalue()
    assert [line["exception"] for line in lines()] == ["ValueError from KeyError"] * 3
    assert all("test_logs.py:" in str(line["where"]) for line in lines())


def test_what_the_operating_system_says_is_shown(stream: io.StringIO, lines: Lines) -> None:
    setup(Log(), stream)
    structlog.get_logger().error("failed", exc_info=OSError(98, "Address already in use"))
    assert lines()[0]["exception"] == "OSError (Address already in use)"


def test_values_that_json_does_not_know_are_written_as_text(stream: io.StringIO, lines: Lines) -> None:
    setup(Log(), stream)
    structlog.get_logger().info("odd", value={1: {2}})
    assert lines()[0]["value"] == {"1": "{2}"}
