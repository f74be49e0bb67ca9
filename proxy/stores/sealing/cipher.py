"""Encryption of what the outer cache tiers hold: AES-256-GCM, with keys that can be changed while it runs.

    marker · length of the key's name · name · nonce (12 bytes) · ciphertext with its tag

Rules: the first key encrypts, every key decrypts, so a new key is put in front and the old one kept until what it
encrypted has expired. The nonce is random. What the bytes belong to (the fingerprint) is authenticated with them, so
they open in no other place. A key that is not known, a wrong tag or broken bytes are nothing found, never an error.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MARKER: Final = 0xE1  # no version of the envelope
KEY_BYTES: Final = 32

_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """One key, and the name that what it encrypted bears: at most 32 letters of ASCII."""

    name: str
    secret: bytes = field(repr=False)


class Cipher:
    """Encrypts with the first of its keys. Safe from any thread."""

    def __init__(self, keys: Sequence[EncryptionKey]) -> None:
        """`keys`: at least one."""
        self._ciphers = {key.name.encode(): AESGCM(key.secret) for key in keys}
        name = keys[0].name.encode()
        self._first = self._ciphers[name]
        self._prefix = bytes((MARKER, len(name))) + name

    def encrypt(self, content: bytes, belongs_to: bytes) -> bytes:
        """The content, for none but the holder of the key, and under `belongs_to` alone."""
        nonce = os.urandom(_NONCE_BYTES)
        return b"".join((self._prefix, nonce, self._first.encrypt(nonce, content, self._prefix + belongs_to)))

    def knows_key_of(self, sealed: bytes) -> bool:
        """Is it encrypted, with one of the keys?"""
        return len(sealed) > 1 and sealed[0] == MARKER and sealed[2 : 2 + sealed[1]] in self._ciphers

    def decrypt(self, sealed: bytes, belongs_to: bytes) -> bytes | None:
        """The content, or None when none of the keys made this out of it for `belongs_to`."""
        if len(sealed) < 2 or sealed[0] != MARKER:
            return None
        nonce_at = 2 + sealed[1]
        content_at = nonce_at + _NONCE_BYTES
        cipher = self._ciphers.get(sealed[2:nonce_at])
        if cipher is None or len(sealed) < content_at + _TAG_BYTES:
            return None
        try:
            return cipher.decrypt(sealed[nonce_at:content_at], sealed[content_at:], sealed[:nonce_at] + belongs_to)
        except InvalidTag:
            return None
