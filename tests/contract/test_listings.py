"""What every tier that can be looked through promises."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from proxy.stores.base import Store
from proxy.stores.listing import Listing, before, walk
from tests.contract.test_stores import STORES, entry, key


@pytest.fixture(params=sorted(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path) as opened:
        yield opened


async def test_every_entry_comes_once_in_the_order_of_the_keys(store: Store) -> None:
    keys = [key(number) for number in range(40)]
    for each in keys:
        await store.put(each, entry())
    await store.delete(keys.pop())
    listing = cast(Listing, store)
    seen: list[bytes] = []
    while page := await listing.entries(seen[-1] if seen else b"", 7):
        assert len(page) <= 7
        assert all(kept.size > 0 and kept.flaw is None and kept.entry == entry() for kept in page)
        seen += [kept.key for kept in page]
    assert seen == sorted(keys)


async def test_two_tiers_are_walked_as_one(store: Store) -> None:
    await store.put(key(1), entry())
    listing = cast(Listing, store)
    found = [each async for each in walk({"a": listing, "b": listing})]
    assert [(each.key, list(each.kept)) for each in found] == [(key(1), ["a", "b"])]


async def test_an_empty_tier_has_none(store: Store) -> None:
    assert [each async for each in walk({"a": cast(Listing, store)})] == []


@pytest.mark.parametrize("prefix", ["00000000", "ff" * 32, "3fa9c04d1"])
def test_a_prefix_begins_where_its_first_key_does(prefix: str) -> None:
    first = bytes.fromhex(prefix.ljust(64, "0"))
    assert before(prefix) < first
    assert int.from_bytes(first) - int.from_bytes(before(prefix)) in (0, 1)
