"""Where a ledger is: its URL, the file behind it, and what logs and messages call it.

Rules: passwords never leave a URL (`safe_name`). SQLAlchemy knows all kinds of URLs, and is heavy: it is asked only
about those that are not plainly a file's.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from sqlalchemy import URL

    from config.schema import Settings

FILE_NAME: Final = "ledger.sqlite"
_FILE_PREFIX: Final = "sqlite:///"


def default_url(data_dir: Path) -> str:
    """The URL of the SQLite ledger in a data directory."""
    return _FILE_PREFIX + quote(str(data_dir.expanduser() / FILE_NAME), safe="/ ")


def url_of(settings: "Settings") -> str:
    """The URL of the ledger that these settings mean."""
    return settings.ledger.url or default_url(settings.data_dir)


def sqlite_path(url: str) -> Path | None:
    """The file behind an SQLite URL; None for other databases and for SQLite in memory. Raises ValueError."""
    if (plain := _plain_file(url)) is not None:
        return plain
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database).expanduser()


def safe_name(url: str) -> str:
    """How logs and messages name this ledger: its path, or its URL without the password. Raises ValueError."""
    path = sqlite_path(url)
    return str(path) if path is not None else _parse(url).render_as_string(hide_password=True)


def is_file(url: str) -> bool:
    """An SQLite file and nothing more said about it: no driver, no query. Raises ValueError."""
    return _plain_file(url) is not None or ("?" not in url and url.startswith("sqlite:") and bool(sqlite_path(url)))


def _plain_file(url: str) -> Path | None:
    name = url.removeprefix(_FILE_PREFIX)
    if name == url or not name or name.startswith(":") or any(sign in name for sign in "%?#"):
        return None
    return Path(name).expanduser()


def _parse(url: str) -> "URL":
    from sqlalchemy import make_url  # noqa: PLC0415 - 12 MB and 0.2 s that most proxies never need
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        # Not quoted, nor chained: it may hold a password.
        raise ValueError("not a database URL; write it as sqlite:////path/to/ledger.sqlite") from None
