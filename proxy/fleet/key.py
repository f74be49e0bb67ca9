"""The key of a fleet's digests: fingerprints are equal on all replicas only if all of them have the same.

Rules: with `cache.key_file` it is what stands there, and Redis never sees it. Otherwise the first replica that reaches
Redis leaves its own there, all others take it, and each keeps it beside its data (0600), so that one that starts while
Redis is away is still of the fleet. A Redis that has forgotten it is told again by whoever notices. Who can read Redis
can read the key, and could find out whether it holds the answer to a question that he guesses; but he can read the
answers as well, unless they are encrypted: then a key file is the better choice.
"""

import base64
import binascii
import os
from pathlib import Path
from typing import Final

from config.errors import Problem, SettingsError
from proxy.fleet.errors import RedisUnavailableError
from proxy.fleet.link import RedisLink

KEY_BYTES: Final = 32
_DEADLINE_S: Final = 0.5


def key_of_file(path: Path) -> bytes:
    """32 bytes, plain or as base64 or hexadecimal text. Raises SettingsError."""
    try:
        content = path.read_bytes()
    except OSError as failure:
        raise SettingsError(Problem(str(path), "cache.key_file", f"cannot be read: {failure.strerror}")) from failure
    if (key := _decoded(content)) is not None:
        return key
    raise SettingsError(Problem(str(path), "cache.key_file", "must hold 32 bytes, plain or as base64 or hexadecimal"))


def _decoded(content: bytes) -> bytes | None:
    if len(content) == KEY_BYTES:
        return content
    text = content.strip()
    try:
        key = binascii.unhexlify(text) if len(text) == 2 * KEY_BYTES else base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return key if len(key) == KEY_BYTES else None


def kept_key(path: Path) -> bytes | None:
    """The fleet's key as this replica knew it last."""
    try:
        key = path.read_bytes()
    except OSError:
        return None
    return key if len(key) == KEY_BYTES else None


def keep_key(path: Path, key: bytes) -> None:
    """For the next start. Raises OSError."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, key)
    finally:
        os.close(descriptor)
    draft.replace(path)


async def agreed_key(link: RedisLink, prefix: str, own: bytes) -> bytes:
    """The fleet's key: the one in Redis, or `own`, which is left there if there is none. Raises
    RedisUnavailableError."""
    place = f"{prefix}:key".encode()
    key = await link.get(place, _DEADLINE_S)  # first: a full Redis takes nothing, but tells
    if key is None:
        if await link.set(place, own, None, only_if_absent=True, is_bulk=False, deadline_s=_DEADLINE_S):
            return own
        key = await link.get(place, _DEADLINE_S)
    if key is None or len(key) != KEY_BYTES:
        raise RedisUnavailableError("no_fleet_key")
    return key
