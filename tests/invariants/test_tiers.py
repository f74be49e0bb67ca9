"""The tiers against a plain dictionary with a clock: whatever is put, lost, promoted, invalidated or down, an answer
that comes back is one that was stored, newest first, and never one that was invalidated."""

import asyncio
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.stores.admission import Admission
from proxy.stores.base import Entry, StoreStats, StoreUnavailableError
from proxy.stores.memory import MemoryStore
from proxy.stores.rules import Kind, Rule, Rules
from proxy.stores.tiers import Tiers
from proxy.tasks import TaskSet

KEYS = [bytes([number]) * 32 for number in range(4)]
TAGS = ["a", "b"]
MODELS = ["gpt-4o", "gpt-4o-mini", "claude"]
keys = st.sampled_from(KEYS)


class Failing:
    """A tier outside the process that can be down, and forget."""

    def __init__(self) -> None:
        self.held: dict[bytes, Entry] = {}
        self.is_up = True

    def _ask(self) -> None:
        if not self.is_up:
            raise StoreUnavailableError("down")

    async def get(self, key: bytes) -> Entry | None:
        self._ask()
        await asyncio.sleep(0)
        return self.held.get(key)

    async def put(self, key: bytes, entry: Entry) -> None:
        await asyncio.sleep(0)
        self._ask()
        self.held[key] = entry

    async def delete(self, key: bytes) -> bool:
        self._ask()
        return self.held.pop(key, None) is not None

    async def clear(self) -> int:
        self._ask()
        count = len(self.held)
        self.held.clear()
        return count

    def stats(self) -> StoreStats:
        return StoreStats("failing", len(self.held), 0, 0, 0, is_up=self.is_up)


class Machine(RuleBasedStateMachine):
    """One proxy's tiers, with another proxy that writes into the shared ones."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()

    @initialize()
    def begin(self) -> None:
        self.now = 1_000.0
        self.rules = Rules()
        self.tasks = TaskSet()
        self.near = MemoryStore(40_000)
        self.shared, self.disk = Failing(), Failing()
        self.tiers = Tiers(
            self.near, (self.shared, self.disk), self.rules, self.tasks, Admission(), clock=lambda: self.now
        )
        self.under_way: list[tuple[bytes, Entry]] = []
        self.stored: dict[bytes, list[Entry]] = {key: [] for key in KEYS}
        self.serial = 0

    def teardown(self) -> None:
        self.loop.close()

    def run(self, *, settle: bool = True) -> None:
        if settle:
            self.loop.run_until_complete(self.tasks.wait(1.0))

    @rule(seconds=st.sampled_from([0.5, 30.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=keys, tag=st.sampled_from(TAGS), model=st.sampled_from(MODELS))
    def a_call_begins(self, key: bytes, tag: str, model: str) -> None:
        entry = Entry(200, [], b"", False, 0.0, 60.0, "openai", "chat", model, epoch=self.rules.stamp, tags=(tag,))
        self.under_way.append((key, entry))

    @precondition(lambda self: bool(self.under_way))
    @rule(which=st.integers(0, 3), elsewhere=st.booleans())
    def a_call_ends_and_is_stored(self, which: int, elsewhere: bool) -> None:
        key, entry = self.under_way.pop(which % len(self.under_way))
        self.serial += 1
        self.now += 0.001
        entry = replace(entry, body=b"%d" % self.serial, stored_at=self.now)
        self.stored[key].append(entry)
        if elsewhere:
            self.shared.held[key] = entry  # by a replica that had not heard of a rule, perhaps
        else:
            self.loop.run_until_complete(self.tiers.put(key, entry))
            self.run()

    @rule(
        named=st.sampled_from(
            [
                (Kind.ALL, ""),
                (Kind.TAG, "a"),
                (Kind.TAG, "b"),
                (Kind.MODEL, "gpt-4o*"),
                (Kind.FINGERPRINT, KEYS[0].hex()),
            ]
        )
    )
    def something_is_invalidated(self, named: tuple[Kind, str]) -> None:
        self.rules.add(Rule(*named, self.rules.next_stamp(self.now)))

    @rule(key=keys)
    def it_is_deleted(self, key: bytes) -> None:
        self.shared.is_up = self.disk.is_up = True
        self.loop.run_until_complete(self.tiers.delete(key))
        self.stored[key].clear()

    @rule(shared=st.booleans(), disk=st.booleans())
    def tiers_go_and_come(self, shared: bool, disk: bool) -> None:
        self.shared.is_up, self.disk.is_up = shared, disk

    @rule(key=keys)
    def the_memory_forgets(self, key: bytes) -> None:
        self.loop.run_until_complete(self.near.delete(key))

    @rule(key=keys)
    def it_is_asked_for(self, key: bytes) -> None:
        living = [entry for entry in self.stored[key] if not self.rules.is_dead(key, entry)]
        got = self.loop.run_until_complete(self.tiers.get(key))
        self.run()
        if got is None:
            assert not any(
                self.holds(store, key, entry) for store in (self.shared, self.disk) if store.is_up for entry in living
            )
            return
        assert self.same(got, living), "an answer that was never stored, or was invalidated"
        near = self.near.peek(key)
        assert near is not None, "what is found further out is put into memory"
        is_fresh = got.age(self.now) <= got.ttl_s
        if not is_fresh and self.shared.is_up:
            kept = self.shared.held.get(key)
            assert kept is None or self.rules.is_dead(key, kept) or kept.stored_at <= got.stored_at

    @invariant()
    def what_can_be_peeked_at_lives(self) -> None:
        for key in KEYS:
            entry = self.tiers.peek(key)
            assert entry is None or not self.rules.is_dead(key, entry)

    @staticmethod
    def same(got: Entry, entries: list[Entry]) -> bool:
        return any(got == entry for entry in entries)

    @staticmethod
    def holds(store: Failing, key: bytes, entry: Entry) -> bool:
        return store.held.get(key) == entry


TestTiers = Machine.TestCase
