"""Notes between replicas are understood as they were meant, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.fleet.claims import Claim, Names
from proxy.fleet.cluster import slot_of
from proxy.fleet.errors import RedisUnavailableError
from proxy.fleet.notes import VERSION, Note, Say, read


@pytest.mark.parametrize("say", Say)
def test_notes_cross(say: Say) -> None:
    note = Note(say, 1 << 40, "0123456789abcdef", b"k" * 32)
    assert read(bytes(note)) == note


def test_a_note_of_another_version_is_not_understood() -> None:
    said = bytes(Note(Say.WANTED, 1, "0123456789abcdef", b"k"))
    assert read(bytes([VERSION + 1]) + said[1:]) is None


@given(garbage=st.binary(max_size=60))
def test_garbage_is_not_understood(garbage: bytes) -> None:
    note = read(garbage)
    assert note is None or bytes(note) == garbage


def test_claims_cross() -> None:
    claim = Claim("0123456789abcdef", 7, 1_800_000_000_000_000)
    assert Claim.parse(bytes(claim)) == claim


@pytest.mark.parametrize("said", [None, 1, b"", b"-", b"a:b:c", b"a:1", b":1:2", b"a:1:2:3", b"\xff:1:2:"])
def test_what_is_no_claim_is_not_understood(said: object) -> None:
    with pytest.raises(RedisUnavailableError):
        Claim.parse(said)


def test_everything_about_a_flight_is_on_one_server_of_a_cluster() -> None:
    names = Names.of("p", b"k" * 32, Claim("r", 1, 0))
    assert len({slot_of(name) for name in (names.claim, names.stream, names.channel)}) == 1
    assert Names.of("p", b"k" * 32, Claim("r", 1, 9)) == names
