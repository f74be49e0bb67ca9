"""The token of the admin listener: for what hands cached answers out, or takes them in.

Rules: random, made on first use, in the data directory with mode 0600, so that whoever can read the answers there can
have them over the listener as well, and nobody else. Compared in constant time; never logged.
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

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text.encode()

    @classmethod
    def of(cls, data_dir: Path) -> "AdminToken":
        """The one of this data directory. Processes that start together agree on one. Raises OSError."""
        path = data_dir / FILE_NAME
        text = _read(path)
        if len(text) < _LEAST_CHARACTERS:
            path.unlink(missing_ok=True)
            with contextlib.suppress(FileExistsError):
                _make(path)
            text = _read(path)
        return cls(text)

    def allows(self, authorization: str) -> bool:
        """Is this field `Bearer` and the token?"""
        scheme, _, given = authorization.partition(" ")
        return (
            scheme.lower() == "bearer" and bool(self._text) and hmac.compare_digest(given.strip().encode(), self._text)
        )


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
