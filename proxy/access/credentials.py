"""Tokens for Proxy-Authorization, kept as salted digests in a file that is read anew when it changes.

Rules: a token is 256 random bits made by us, so one SHA-256 is as good as any slow function, and costs a microsecond;
passwords that people choose are not accepted. Neither tokens nor digests are logged or repeated in messages. A file
with a mistake in it is refused as a whole, said once, and the old one stays in force.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from config.errors import Problem, SettingsError
from config.gateway import tenant_name
from config.sight import look

log = structlog.get_logger(__name__)

_PREFIX: Final = "skf"
_TOKEN: Final = re.compile(r"skf_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_ENTRY: Final = re.compile(r"([0-9a-f]{12}):([0-9a-f]{32}):([0-9a-f]{64})")
_MOST_ENTRIES: Final = 100_000
_LONGEST_FIELD: Final = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """One token that is good."""

    tenant: str
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)


_NONE: Final = Entry("", b"\0" * 16, b"\0" * 32)  # compared with when there is no such token


def new_token(tenant: str) -> tuple[str, str]:
    """A token, and the line of the file that makes it good. Raises ValueError for a name that cannot be one."""
    name = tenant_name(tenant)
    known_by, secret, salt = secrets.token_hex(6), secrets.token_urlsafe(32), secrets.token_bytes(16)
    return f"{_PREFIX}_{known_by}_{secret}", f"{name} {known_by}:{salt.hex()}:{_digest(salt, secret).hex()}"


def _digest(salt: bytes, secret: str) -> bytes:
    return hashlib.sha256(salt + secret.encode("ascii")).digest()


class Credentials:
    """The tokens of one file."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        """By what each token is known by."""
        self._entries = dict(entries)

    def __len__(self) -> int:
        return len(self._entries)

    @classmethod
    def parse(cls, text: str) -> "Credentials":
        """Raises ValueError, which names the line and nothing that stands in it."""
        entries: dict[str, Entry] = {}
        for number, line in enumerate(text.splitlines(), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            found = _ENTRY.fullmatch(words[1]) if len(words) == 2 else None
            if found is None:
                raise ValueError(f"line {number} is not TENANT ID:SALT:DIGEST, as skinflint gateway token makes it")
            if found[1] in entries:
                raise ValueError(f"line {number} has the ID of an earlier line")
            if len(entries) >= _MOST_ENTRIES:
                raise ValueError(f"it has more than {_MOST_ENTRIES} lines")
            entries[found[1]] = Entry(tenant_name(words[0]), bytes.fromhex(found[2]), bytes.fromhex(found[3]))
        return cls(entries)

    def __contains__(self, known_by: object) -> bool:
        """Is there still a token that is known by this?"""
        return known_by in self._entries

    def tenant(self, field_value: bytes) -> tuple[str, str] | None:
        """Whose token a Proxy-Authorization field brings, and what it is known by. None: nobody's."""
        user, token = _said(field_value)
        found = _TOKEN.fullmatch(token)
        entry = self._entries.get(found[1], _NONE) if found is not None else _NONE
        is_right = hmac.compare_digest(_digest(entry.salt, found[2] if found is not None else ""), entry.digest)
        if found is None or not is_right or entry is _NONE or user not in (None, entry.tenant):
            return None
        return entry.tenant, found[1]


def _said(field_value: bytes) -> tuple[str | None, str]:
    """(user, token) of Basic, (None, token) of Bearer."""
    scheme, _, rest = field_value[:_LONGEST_FIELD].decode("latin-1").strip().partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer":
        return None, rest
    if scheme.lower() != "basic":
        return None, ""
    try:
        user, _, token = base64.b64decode(rest, validate=True).decode("latin-1").partition(":")
    except (binascii.Error, ValueError):
        return None, ""
    return user, token


class CredentialsFile:
    """A file of tokens. `current` is what it said when it was last good."""

    def __init__(self, file: Path, clock_ns: Callable[[], int] = time.time_ns) -> None:
        """Raises SettingsError."""
        self.file = file
        self._clock_ns = clock_ns
        self._seen = look(file, None, clock_ns())
        try:
            self.current = self._read()
        except ValueError as exc:
            raise SettingsError(Problem(str(file), "access.credentials", str(exc))) from exc

    def poll(self) -> bool:
        """Look at the file, and take what is new: True then. Never raises."""
        seen = look(self.file, self._seen, self._clock_ns())
        has_changed, self._seen = seen.digest != self._seen.digest, seen
        if not has_changed:
            return False
        try:
            self.current = self._read()
        except ValueError as exc:
            log.error("credentials_refused", file=str(self.file), reason=str(exc), then="the old ones stay in force")
            return False
        log.info("credentials_reloaded", file=str(self.file), tokens=len(self.current))
        return True

    def _read(self) -> Credentials:
        try:
            return Credentials.parse(self.file.read_text("utf-8"))
        except UnicodeDecodeError:
            raise ValueError("is not UTF-8 text") from None
        except OSError as exc:
            raise ValueError(f"cannot be read: {exc.strerror}") from exc
