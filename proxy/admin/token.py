"""The token of the admin listener: for everything about the cache, looking at entries included.

Rules: random, made on first use, in the data directory with mode 0600, so that whoever can read the answers there can
have them over the listener as well, and nobody else. Or it is in a file that the settings name, as a mounted Secret is:
that one is read each time, so that another token counts without a restart. Compared in constant time; never logged.
"""

import contextlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

FILE_NAME: Final = "admin.token"
_LEAST_CHARACTERS: Final = 32


class AdminToken:
    """See the module."""

    __slots__ = ("_file", "_text")

    def __init__(self, text: str, file: Path | None = None) -> None:
        self._text = text.encode()
        self._file = file

    @classmethod
    def of(cls, data_dir: Path, file: Path | None = None) -> "AdminToken":
        """The one of this data directory, or of a file. Processes that start together agree on one.

        Raises OSError, and ValueError when the file has none.
        """
        if file is not None:
            if not _token_in(file):
                raise ValueError(f"must hold a token of at least {_LEAST_CHARACTERS} ASCII characters")
            return cls("", file)
        path = data_dir / FILE_NAME
        if not _token_in(path):
            path.unlink(missing_ok=True)
            with contextlib.suppress(FileExistsError):
                _make(path)
        return cls(_token_in(path))

    def allows(self, authorization: str) -> bool:
        """Is this field `Bearer` and the token?"""
        scheme, _, given = authorization.partition(" ")
        token = self._text if self._file is None else _now_in(self._file)
        is_right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token)  # a field may be any bytes
        return is_right and scheme.lower() == "bearer" and bool(token)


def _now_in(file: Path) -> bytes:
    try:
        return _token_in(file).encode()
    except OSError:  # nobody is let in until it is back
        return b""


def _token_in(path: Path) -> str:
    """Empty when there is none that is long enough. Raises OSError."""
    text = _read(path)
    return text if len(text) >= _LEAST_CHARACTERS else ""


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def _make(path: Path) -> None:
    """Raises FileExistsError when another process was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_urlsafe(32).encode() + b"\n")
        os.link(draft, path)
    finally:
        os.close(descriptor)
        draft.unlink()
