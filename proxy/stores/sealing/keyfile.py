"""The file with the keys of `cache.encryption.key_file`: one key a line, `<name> <base64 of 32 bytes>`.

Rules: the first line's key encrypts, all decrypt; empty lines and lines that begin with # are left out. What is wrong
is said with file and line, and no part of a key is ever repeated. A file that became unusable while the proxy runs
leaves the earlier keys in force, with one log line.
"""

import base64
import binascii
import re
import stat
from pathlib import Path
from typing import Final

import structlog

from config.errors import Problem, SettingsError
from proxy.stores.sealing.cipher import KEY_BYTES, EncryptionKey

SETTING: Final = "cache.encryption.key_file"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,32}")
_LIMIT_BYTES: Final = 65_536  # several hundred keys
_TOO_OPEN: Final = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO  # 0600 and 0640 are private enough

log = structlog.get_logger(__name__)

type _State = tuple[int, int, int]  # inode, time of the last change in ns, size


def parse(text: str, source: str) -> tuple[EncryptionKey, ...]:
    """The keys, in their order. Raises SettingsError, which names the lines."""
    keys: dict[str, EncryptionKey] = {}
    problems: list[Problem] = []

    def refuse(number: int, message: str) -> None:
        problems.append(Problem(f"{source}:{number}", SETTING, message))

    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split()
        if not parts or parts[0].startswith("#"):
            continue
        if len(parts) != 2:
            refuse(number, "a line is a name, a space and the base64 form of 32 bytes")
        elif not _NAME.fullmatch(parts[0]):
            refuse(number, "a key's name has 1 to 32 letters, digits, dots, dashes and underscores")
        elif (secret := _decoded(parts[1])) is None:
            refuse(number, "a key is the base64 form of exactly 32 bytes, as `openssl rand -base64 32` gives it")
        elif parts[0] in keys:
            refuse(number, "an earlier line has a key of this name")
        else:
            keys[parts[0]] = EncryptionKey(parts[0], secret)
    if not keys and not problems:
        problems.append(Problem(source, SETTING, "there is no key in it"))
    if problems:
        raise SettingsError(*problems)
    return tuple(keys.values())


class KeyFile:
    """The file, and what was last read of it."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError when it cannot be used."""
        self._path = path
        self._warned_of_mode = False
        self._said = ""
        self._state = self._look()
        self.keys = self._read()

    def refresh(self) -> bool:
        """Read it again if it was changed; True when there are other keys now. Never raises."""
        try:
            state = self._look()
            if state == self._state:
                return False
            self._state = state  # tried once, whatever comes of it
            keys = self._read()
        except SettingsError as error:
            if str(error) != self._said:
                self._said = str(error)
                log.error("encryption_keys_kept", reason=self._said, advice="the earlier keys stay in force")
            return False
        self._said = ""
        changed, self.keys = keys != self.keys, keys
        if changed:
            log.info("encryption_keys_read", file=str(self._path), keys=len(keys), first=keys[0].name)
        return changed

    def _look(self) -> _State:
        try:
            found = self._path.stat()
        except OSError as error:
            raise _unreadable(self._path, error) from error
        if found.st_mode & _TOO_OPEN and not self._warned_of_mode:
            # Not refused: Kubernetes mounts Secrets with 0644 unless a defaultMode is set, in volumes of one pod alone.
            self._warned_of_mode = True
            log.warning(
                "encryption_key_file_open_to_others",
                file=str(self._path),
                mode=f"{stat.S_IMODE(found.st_mode):04o}",
                advice="chmod 0600; for a Kubernetes Secret set defaultMode: 0400",
            )
        return (found.st_ino, found.st_mtime_ns, found.st_size)

    def _read(self) -> tuple[EncryptionKey, ...]:
        try:
            with self._path.open("rb") as file:
                content = file.read(_LIMIT_BYTES + 1)
            text = content.decode("ascii")
        except OSError as error:
            raise _unreadable(self._path, error) from error
        except UnicodeDecodeError:  # which holds what was read: it goes no further
            raise SettingsError(Problem(str(self._path), SETTING, "it is no text of ASCII letters")) from None
        if len(content) > _LIMIT_BYTES:
            raise SettingsError(Problem(str(self._path), SETTING, f"it is larger than {_LIMIT_BYTES} bytes"))
        return parse(text, str(self._path))


def _decoded(text: str) -> bytes | None:
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return secret if len(secret) == KEY_BYTES else None


def _unreadable(path: Path, error: OSError) -> SettingsError:
    return SettingsError(Problem(str(path), SETTING, f"it cannot be read: {error.strerror or type(error).__name__}"))
