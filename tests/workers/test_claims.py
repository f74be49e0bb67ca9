"""Who leads a flight: one owner a fingerprint, taken back from the dead, bounded."""

import random
import subprocess
import sys

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.workers.claims import ClaimTable, owner_of, place_of
from tests.stores.test_memory import finished

FIRST, SECOND = owner_of(100, 0), owner_of(101, 1)


def key(number: int) -> bytes:
    return random.Random(number).randbytes(32)


def test_an_owner_is_a_process_in_a_place() -> None:
    assert place_of(owner_of(4_194_304, 255)) == 255
    assert owner_of(1, 0) != owner_of(2, 0)
    assert owner_of(1, 0) > 0


async def test_the_first_to_claim_has_it_and_the_others_are_told() -> None:
    claims = ClaimTable()
    assert claims.look_up(key(1)) == 0
    assert await claims.claim(key(1), FIRST) == FIRST
    assert await claims.claim(key(1), SECOND) == FIRST
    assert await claims.claim(key(1), FIRST) == FIRST
    assert await claims.claim(key(2), SECOND) == SECOND
    assert claims.look_up(key(1)) == FIRST
    assert claims.held() == 2


async def test_only_its_owner_gives_a_claim_back() -> None:
    claims = ClaimTable()
    await claims.claim(key(1), FIRST)
    claims.release(key(1), SECOND)
    assert claims.look_up(key(1)) == FIRST
    claims.release(key(1), FIRST)
    assert claims.look_up(key(1)) == 0
    assert await claims.claim(key(1), SECOND) == SECOND


async def test_of_those_who_find_a_leader_gone_the_first_takes_over() -> None:
    claims = ClaimTable()
    third = owner_of(102, 2)
    await claims.claim(key(1), FIRST)
    assert await claims.claim(key(1), SECOND, instead_of=FIRST) == SECOND
    assert await claims.claim(key(1), third, instead_of=FIRST) == SECOND
    claims.release(key(1), FIRST)  # it was not dead after all
    assert claims.look_up(key(1)) == SECOND


async def test_the_claims_of_a_dead_worker_go_all_at_once() -> None:
    claims = ClaimTable()
    for number in range(100):
        await claims.claim(key(number), FIRST if number % 2 else SECOND)
    assert claims.release_place(0) == 50
    assert claims.held() == 50
    assert {claims.look_up(key(number)) for number in range(1, 100, 2)} == {0}


async def test_a_full_table_gives_no_claim_and_goes_on() -> None:
    claims = ClaimTable(slots=8)
    for number in range(8):
        assert await claims.claim(key(number), FIRST) == FIRST
    assert await claims.claim(key(8), SECOND) == 0
    assert await claims.claim(key(3), SECOND) == FIRST
    claims.release(key(3), FIRST)
    assert await claims.claim(key(8), SECOND) == SECOND


async def test_who_gets_no_turn_has_no_claim() -> None:
    claims = ClaimTable()
    await claims.claim(key(1), FIRST)
    holding = (
        "import fcntl,sys; fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX, 1, 0); print(flush=True); sys.stdin.read()"
    )
    descriptor = claims.lock.descriptor
    command = [sys.executable, "-c", holding, str(descriptor)]
    with subprocess.Popen(command, pass_fds=[descriptor], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"\n"
        try:
            assert await claims.claim(key(2), SECOND) == 0
            assert await claims.claim(key(1), SECOND) == FIRST  # looking up needs no turn
        finally:
            holder.kill()
    assert await claims.claim(key(2), SECOND) == SECOND


class Claiming(RuleBasedStateMachine):
    """Against a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.claims = ClaimTable(slots=64)
        self.model: dict[int, int] = {}

    @rule(number=st.integers(0, 30), place=st.integers(0, 3), instead=st.integers(0, 3) | st.none())
    def claim(self, number: int, place: int, instead: int | None) -> None:
        instead_of = 0 if instead is None else owner_of(7, instead)
        got = finished(self.claims.claim(key(number), owner_of(7, place), instead_of=instead_of))
        holder = self.model.get(number, 0)
        if holder in (0, instead_of):
            assert got in (owner_of(7, place), 0)
            if got:
                self.model[number] = got
            assert got or not holder  # there is no room for a new one only
        else:
            assert got == holder

    @rule(number=st.integers(0, 30), place=st.integers(0, 3))
    def release(self, number: int, place: int) -> None:
        self.claims.release(key(number), owner_of(7, place))
        if self.model.get(number) == owner_of(7, place):
            del self.model[number]

    @rule(place=st.integers(0, 3))
    def die(self, place: int) -> None:
        gone = [number for number, owner in self.model.items() if place_of(owner) == place]
        assert self.claims.release_place(place) == len(gone)
        for number in gone:
            del self.model[number]

    @invariant()
    def the_same_are_held(self) -> None:
        assert self.claims.held() == len(self.model)
        assert {number: self.claims.look_up(key(number)) for number in self.model} == self.model


TestClaiming = Claiming.TestCase
