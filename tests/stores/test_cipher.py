"""Encryption at rest: only the holder of the key reads it, only in its place, and keys can be changed."""

import pytest

from proxy.stores.sealing.cipher import Cipher, EncryptionKey

OLD = EncryptionKey("2025", bytes(range(32)))
NEW = EncryptionKey("2026", bytes(range(32, 64)))
PLACE = b"\x07" * 32


def test_what_was_encrypted_is_decrypted() -> None:
    cipher = Cipher([OLD])
    sealed = cipher.encrypt(b"an answer", PLACE)
    assert cipher.decrypt(sealed, PLACE) == b"an answer"
    assert b"answer" not in sealed


def test_the_same_content_never_looks_the_same() -> None:
    cipher = Cipher([OLD])
    assert len({cipher.encrypt(b"an answer", PLACE) for _ in range(100)}) == 100


def test_it_opens_in_its_own_place_only() -> None:
    cipher = Cipher([OLD])
    assert cipher.decrypt(cipher.encrypt(b"an answer", PLACE), b"\x08" * 32) is None


def test_a_new_key_in_front_still_opens_what_the_old_one_encrypted() -> None:
    old, both, new = Cipher([OLD]), Cipher([NEW, OLD]), Cipher([NEW])
    assert both.decrypt(old.encrypt(b"an answer", PLACE), PLACE) == b"an answer"
    assert new.decrypt(both.encrypt(b"an answer", PLACE), PLACE) == b"an answer"
    assert new.decrypt(old.encrypt(b"an answer", PLACE), PLACE) is None


def test_a_key_of_the_same_name_with_another_secret_opens_nothing() -> None:
    sealed = Cipher([OLD]).encrypt(b"an answer", PLACE)
    assert Cipher([EncryptionKey("2025", NEW.secret)]).decrypt(sealed, PLACE) is None


def test_no_changed_or_missing_byte_is_opened() -> None:
    cipher = Cipher([OLD])
    sealed = cipher.encrypt(b"an answer", PLACE)
    for length in range(len(sealed)):
        assert cipher.decrypt(sealed[:length], PLACE) is None
    for at in range(len(sealed)):
        broken = bytearray(sealed)
        broken[at] ^= 1
        assert cipher.decrypt(bytes(broken), PLACE) is None
    assert cipher.decrypt(sealed + b"x", PLACE) is None


@pytest.mark.parametrize("key", [OLD, NEW])
def test_a_key_does_not_show_its_secret(key: EncryptionKey) -> None:
    assert "secret" not in repr(key)
    assert key.name in repr(key)
