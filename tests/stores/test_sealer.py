"""What outer tiers keep of an entry: small, private if asked for, and opened only where it was put."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from proxy.stores.base import Entry, pack
from proxy.stores.envelope import seal
from proxy.stores.sealing.dictionary import NO_DICTIONARY, Dictionaries
from proxy.stores.sealing.sealer import Sealer
from tests.stores.answers import answer, key
from tests.stores.disks import key_file
from tests.support.processes import wait_until

type MakeSealer = Callable[[], Sealer]


@pytest.fixture(params=["plain", "encrypted"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> MakeSealer:
    """Sealers with the same keys, if any."""
    keys = key_file(tmp_path, "a") if request.param == "encrypted" else None
    return lambda: Sealer(keys)


def trained(sealer: Sealer) -> Sealer:
    for number in range(1000, 1400):
        sealer.seal(answer(number), key(number))
    wait_until(lambda: sealer.dictionaries.current.number != NO_DICTIONARY, "a dictionary is trained")
    return sealer


def shapes() -> list[Entry]:
    big, big_packed = pack(b"large " * 50_000, None)
    noise = random.Random(3).randbytes(200_000)
    return [
        answer(1),
        answer(2, words=1),
        answer(3, words=3000),
        replace(answer(4), body=b"", packed=False),
        replace(answer(5), body=noise, packed=False),
        replace(answer(6), body=noise[:5000], packed=False),
        replace(answer(7), body=big, packed=big_packed),
        replace(answer(8), usage=None, cost_nanousd=None, headers=[]),
    ]


@pytest.mark.parametrize("number", range(8))
def test_an_entry_comes_back_as_it_was(make: MakeSealer, number: int) -> None:
    kept, sealer = shapes()[number], make()
    assert sealer.opened(sealer.seal(kept, key(number)), key(number)) == kept
    assert make().opened(sealer.seal(kept, key(number)), key(number)) == kept


def test_it_opens_under_its_own_key_only(make: MakeSealer) -> None:
    sealer = make()
    assert sealer.opened(sealer.seal(answer(1), key(1)), key(2)) is None


def test_no_changed_or_missing_byte_gives_an_entry(make: MakeSealer) -> None:
    sealer = make()
    for kept in (replace(answer(1, words=3), headers=[]), replace(answer(1), body=random.Random(1).randbytes(70_000))):
        sealed = sealer.seal(kept, key(1))
        places = [*range(min(400, len(sealed))), len(sealed) - 1]
        for at in places:
            broken = bytearray(sealed)
            broken[at] ^= 0x55
            assert sealer.opened(bytes(broken), key(1)) in (None, kept)
            assert sealer.opened(sealed[:at], key(1)) is None


@given(sealed=st.binary(max_size=300))
def test_noise_is_no_entry(sealed: bytes) -> None:
    sealer = Sealer()
    assert sealer.opened(sealed, key(1)) is None
    assert sealer.opened(b"\xd1\0\0\0\0\0" + sealed, key(1)) is None
    assert Sealer.dictionary_of(sealed) >= 0


def test_a_frame_that_says_it_is_enormous_is_not_unpacked() -> None:
    bomb, _ = pack(bytes(50_000_000), None)
    assert Sealer().opened(b"\xd1\0\0\0\0\0" + bomb, key(1)) is None


def test_what_is_stored_is_smaller_than_its_envelope(make: MakeSealer) -> None:
    assert len(make().seal(answer(1), key(1))) < len(seal(answer(1), key(1)))


def test_encrypted_is_compressed_first(tmp_path: Path) -> None:
    sealer = Sealer(key_file(tmp_path, "a"))
    text = replace(answer(1), body=b"the same words " * 2000, packed=False)
    assert len(sealer.seal(text, key(1))) < 3000


def test_encrypted_answers_show_nothing(tmp_path: Path) -> None:
    sealer = Sealer(key_file(tmp_path, "a"))
    assert sealer.encrypts
    for kept in (answer(1), replace(answer(1), body=b"chat.completion" * 9000, packed=False)):
        sealed = sealer.seal(kept, key(1))
        assert b"cloudflare" not in sealed
        assert b"chat.completion" not in sealed


def test_with_keys_what_is_not_encrypted_is_no_entry_and_the_other_way_round(tmp_path: Path) -> None:
    plain, encrypting = Sealer(), Sealer(key_file(tmp_path, "a"))
    for kept in (answer(1), shapes()[4]):
        assert encrypting.opened(plain.seal(kept, key(1)), key(1)) is None
        assert plain.opened(encrypting.seal(kept, key(1)), key(1)) is None


def test_keys_are_changed_while_it_runs(tmp_path: Path) -> None:
    keys = key_file(tmp_path, "a")
    sealer = Sealer(keys)
    before = sealer.seal(answer(1), key(1))
    (tmp_path / "keys-b-a").unlink(missing_ok=True)
    both = key_file(tmp_path, "b", "a")
    (tmp_path / "keys-b-a").replace(tmp_path / "keys-a")
    sealer.refresh()
    after = sealer.seal(answer(1), key(1))
    assert sealer.opened(before, key(1)) == sealer.opened(after, key(1)) == answer(1)
    assert Sealer(both).opened(after, key(1)) == answer(1)
    assert Sealer(key_file(tmp_path, "b")).opened(before, key(1)) is None


def test_a_dictionary_makes_small_answers_much_smaller(make: MakeSealer) -> None:
    sealer = make()
    before = sum(len(sealer.seal(answer(number), key(number))) for number in range(50))
    trained(sealer)
    after = sum(len(sealer.seal(answer(number), key(number))) for number in range(50))
    assert after < before * 0.75
    assert all(sealer.opened(sealer.seal(each, key(1)), key(1)) == each for each in shapes())


def test_an_unknown_dictionary_is_a_miss_until_it_is_learnt(make: MakeSealer) -> None:
    sealer = trained(make())
    sealed = sealer.seal(answer(1), key(1))
    number = Sealer.dictionary_of(sealed)
    assert number == sealer.dictionaries.current.number
    stored = sealer.sealed_dictionary(number)
    assert stored is not None
    other = make()
    assert not other.knows(number)
    assert other.opened(sealed, key(1)) is None
    assert other.sealed_dictionary(number) is None
    assert other.learn(number, stored) is not None
    assert other.opened(sealed, key(1)) == answer(1)
    assert other.dictionaries.current.number == number


def test_a_dictionary_is_encrypted_as_answers_are(tmp_path: Path) -> None:
    sealer = trained(Sealer(key_file(tmp_path, "a")))
    number = sealer.dictionaries.current.number
    stored = sealer.sealed_dictionary(number)
    assert stored is not None
    assert b"chat.completion" not in stored
    assert Sealer().learn(number, stored) is None
    assert Sealer(key_file(tmp_path, "a")).learn(number + 1, stored) is None


@pytest.mark.parametrize("content", [b"", b"no dictionary", b"\x37\xa4\x30\xec" + bytes(100)])
def test_what_is_no_dictionary_is_not_learnt(content: bytes) -> None:
    assert Sealer().learn(7, content) is None


def test_after_forgetting_nothing_is_known() -> None:
    sealer = trained(Sealer())
    sealed = sealer.seal(answer(1), key(1))
    sealer.dictionaries.forget()
    assert sealer.opened(sealed, key(1)) is None
    assert sealer.opened(sealer.seal(answer(1), key(1)), key(1)) == answer(1)


def test_the_known_dictionaries_are_bounded() -> None:
    dictionaries = Dictionaries(trains=False)
    samples = [answer(number).original() + answer(number).headers[7][1] for number in range(60)]
    made = [zstandard.train_dictionary(2048 + 64 * size, samples, dict_id=1 + size).as_bytes() for size in range(12)]
    learnt = [dictionaries.learn(each) for each in made]
    numbers = [each.number for each in learnt if each is not None]
    assert len(numbers) == 12
    assert sum(dictionaries.find(number) is not None for number in numbers) == 8
    assert dictionaries.current.number == numbers[0]
    assert dictionaries.find(numbers[0]) is not None


def test_another_workload_gets_another_dictionary() -> None:
    sealer = trained(Sealer())
    first = sealer.dictionaries.current.number
    other = [
        replace(
            answer(1),
            headers=[(b"x-%d" % each, b"quite another field %d" % each) for each in range(30)],
            body=b'{"totally":"different","shape":[%d]}' % number,
            packed=False,
        )
        for number in range(50)
    ]
    for number in range(400 * 16):
        sealer.seal(other[number % 50], key(1))
    wait_until(lambda: sealer.dictionaries.current.number != first, "another is trained")


def test_a_dictionary_that_is_no_better_is_not_taken() -> None:
    sealer = trained(Sealer())
    dictionaries, first = sealer.dictionaries, sealer.dictionaries.current.number
    for number in range(400 * 16):
        sealer.seal(answer(number), key(1))
    wait_until(lambda: dictionaries._step > 16, "the next was judged")
    assert dictionaries.current.number == first
