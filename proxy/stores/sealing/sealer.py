"""An entry as the bytes that outer tiers keep, and back: envelope, then compressed whole, then encrypted.

    [marker · was the body packed · dictionary's number] [frame or envelope, encrypted when there are keys]

Rules: compressed before it is encrypted, never after. With keys, what is not encrypted is nothing found: whoever can
write to a store must not be able to give answers. What cannot be opened, for whatever reason (another key, an unknown
dictionary, broken bytes), is a miss, never an error. Safe from any thread.
"""

import struct
from typing import Final

from proxy.stores.base import Entry
from proxy.stores.envelope import opened, seal
from proxy.stores.listing import Flaw
from proxy.stores.sealing.cipher import MARKER, Cipher
from proxy.stores.sealing.dictionary import LARGEST_BYTES, NO_DICTIONARY, Dictionaries, Dictionary
from proxy.stores.sealing.keyfile import KeyFile

_PRESSED: Final = 0xD1  # no version of the envelope, and not the cipher's marker
_PREFIX: Final = struct.Struct("<BBI")
_BELONGS_TO_DICTIONARY: Final = b"dictionary "


class Sealer:
    """One for all outer tiers of a process."""

    def __init__(self, keys: KeyFile | None = None, dictionaries: Dictionaries | None = None) -> None:
        self.dictionaries = dictionaries or Dictionaries()
        self._keys = keys
        self._cipher = Cipher(keys.keys) if keys is not None else None

    @property
    def encrypts(self) -> bool:
        """Does it encrypt?"""
        return self._cipher is not None

    def refresh(self) -> None:
        """Take the key file's keys as they are now. Cheap when it did not change; never raises."""
        if self._keys is not None and self._keys.refresh():
            self._cipher = Cipher(self._keys.keys)

    def seal(self, entry: Entry, key: bytes) -> bytes:
        """The entry as bytes that open only under `key`. Raises ValueError as `envelope.seal` does."""
        plain = self._plain(entry, key)
        if plain is None:
            return self._encrypted(seal(entry, key), key, b"")
        self.dictionaries.sample(plain)
        dictionary = self.dictionaries.current
        prefix = _PREFIX.pack(_PRESSED, entry.packed, dictionary.number)
        return prefix + self._encrypted(dictionary.compress(plain), key, prefix)

    def opened(self, sealed: bytes, key: bytes) -> Entry | None:
        """The entry, or None when these bytes are none that was sealed under `key`, or cannot be opened here."""
        if sealed[:1] != bytes((_PRESSED,)):
            content = self._decrypted(sealed, key, b"")
            return opened(content, key) if content is not None else None
        if len(sealed) <= _PREFIX.size:
            return None
        _, was_packed, number = _PREFIX.unpack_from(sealed)
        dictionary = self.dictionaries.find(number)
        content = self._decrypted(sealed[_PREFIX.size :], key, sealed[: _PREFIX.size])
        if dictionary is None or content is None or (plain := dictionary.decompress(content)) is None:
            return None
        entry = opened(plain, key)
        if entry is None or not was_packed:
            return entry
        entry.body, entry.packed = self.dictionaries.packed(entry.body), True
        return entry

    def flaw(self, sealed: bytes) -> Flaw:
        """Of what could not be opened: is it broken, or not for us?"""
        is_pressed = sealed[:1] == bytes((_PRESSED,))
        content = sealed[_PREFIX.size :] if is_pressed else sealed
        cipher = self._cipher
        is_ours = cipher.knows_key_of(content) if cipher is not None else content[:1] != bytes((MARKER,))
        return Flaw.BROKEN if is_ours and self.knows(self.dictionary_of(sealed)) else Flaw.LOCKED

    # -- dictionaries, for the stores that keep them beside their entries

    @staticmethod
    def dictionary_of(sealed: bytes) -> int:
        """The number of the dictionary that opens it; `NO_DICTIONARY` when none is needed."""
        if len(sealed) <= _PREFIX.size or sealed[0] != _PRESSED:
            return NO_DICTIONARY
        number: int = _PREFIX.unpack_from(sealed)[2]
        return number

    def knows(self, number: int) -> bool:
        """Can what needs this dictionary be opened?"""
        return self.dictionaries.find(number) is not None

    def sealed_dictionary(self, number: int) -> bytes | None:
        """The dictionary as a store keeps it; None when it is not known."""
        dictionary = self.dictionaries.find(number)
        if dictionary is None or dictionary.content is None:
            return None
        return self._encrypted(dictionary.content, _name_of(number), b"")

    def learn(self, number: int, sealed: bytes) -> Dictionary | None:
        """A dictionary from a store. None when it cannot be opened, or is another."""
        content = self._decrypted(sealed, _name_of(number), b"")
        if content is None:
            return None
        if (known := self.dictionaries.find(number)) is not None:
            return known
        learnt = self.dictionaries.learn(content)
        return learnt if learnt is not None and learnt.number == number else None

    def encrypted(self, content: bytes, belongs_to: bytes) -> bytes:
        """Something else that leaves this machine: as it is, unless there are keys."""
        return self._encrypted(content, belongs_to, b"")

    def decrypted(self, content: bytes, belongs_to: bytes) -> bytes | None:
        """What `encrypted` was given, or None when it cannot be opened here."""
        return self._decrypted(content, belongs_to, b"")

    # -- the layers

    def _plain(self, entry: Entry, key: bytes) -> bytes | None:
        """The envelope around the body's own bytes; None when that is too much to be compressed whole."""
        if len(entry.body) > LARGEST_BYTES:
            return None
        body = self.dictionaries.plain.decompress(entry.body) if entry.packed else entry.body
        if body is None:
            return None
        plain = seal(entry, key, plain=body)
        return plain if len(plain) <= LARGEST_BYTES else None

    def _encrypted(self, content: bytes, key: bytes, prefix: bytes) -> bytes:
        return content if self._cipher is None else self._cipher.encrypt(content, key + prefix)

    def _decrypted(self, content: bytes, key: bytes, prefix: bytes) -> bytes | None:
        return content if self._cipher is None else self._cipher.decrypt(content, key + prefix)


def _name_of(number: int) -> bytes:
    return _BELONGS_TO_DICTIONARY + str(number).encode()
