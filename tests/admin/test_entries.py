"""Entries over the admin listener: what anybody may see, what needs the token, what an import takes."""

import base64
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import aiohttp
import orjson
import pytest

from proxy.admin.entry_pages import EntryPages
from proxy.admin.guard import guard
from proxy.admin.stock import Stock
from proxy.admin.token import AdminToken
from proxy.stores.admission import Admission
from proxy.stores.base import Entry
from proxy.stores.memory import MemoryStore
from proxy.stores.rules import Kind, Rule, Rules
from proxy.stores.sealing.sealer import Sealer
from proxy.stores.tiers import Tiers
from proxy.tasks import TaskSet
from tests.contract.test_stores import entry
from tests.stores.disks import disk, key_file

TOKEN = "t" * 43
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


class Cache:
    """A stock of one memory tier, behind a real server."""

    def __init__(self, sealer: Sealer | None = None, key: bytes = bytes(32)) -> None:
        self.store = Tiers(MemoryStore(1 << 22), (), Rules(), TaskSet(), Admission())
        self.stock = Stock(
            self.store, {"memory": self.store.near}, sealer or Sealer(), lambda: key, AdminToken(TOKEN), time.time
        )
        self.session: aiohttp.ClientSession
        self._runner: aiohttp.web.AppRunner

    async def __aenter__(self) -> "Cache":
        app = aiohttp.web.Application(middlewares=[guard(self.stock.token)])
        EntryPages(self.stock).add_to(app)
        self._runner = aiohttp.web.AppRunner(app)
        await self._runner.setup()
        site = aiohttp.web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.session = aiohttp.ClientSession(f"http://{host}:{port}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()
        await self._runner.cleanup()

    async def ask(
        self, method: str, path: str, body: bytes | None = None, fields: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        given = AUTHORIZED if fields is None else fields
        async with self.session.request(method, path, data=body, headers=given) as response:
            return response.status, await response.read()

    async def put(self, number: int, **more: object) -> bytes:
        key = number.to_bytes(4) + bytes(28)
        await self.store.near.put(key, stored(**more))
        return key


def stored(**more: object) -> Entry:
    made = replace(entry(), stored_at=time.time() - 10, ttl_s=600.0, model="m-1", namespace="default")
    return replace(made, **more)  # type: ignore[arg-type]


@pytest.fixture
async def cache() -> AsyncIterator[Cache]:
    async with Cache() as made:
        yield made


async def test_entries_are_listed_in_pages_and_without_their_bodies(cache: Cache) -> None:
    for number in range(5):
        await cache.put(number, body=b"the answer itself", packed=False)
    status, first = await cache.ask("GET", "/v1/cache/entries?limit=3")
    page = orjson.loads(first)
    _, second = await cache.ask("GET", f"/v1/cache/entries?limit=3&after={page['after']}")
    rest = orjson.loads(second)
    assert status == 200
    assert [line["fingerprint"][:8] for line in page["entries"] + rest["entries"]] == [f"{n:08x}" for n in range(5)]
    assert rest["after"] is None
    assert b"the answer itself" not in first + second
    assert page["entries"][0]["state"] == "fresh"


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("model=gpt-*", 1),
        ("tag=a", 1),
        ("label=app%3Dx", 1),
        ("tier=memory", 2),
        ("state=expired", 0),
        ("provider=z", 0),
    ],
)
async def test_filters_narrow_the_list(cache: Cache, query: str, count: int) -> None:
    await cache.put(1, model="gpt-4o", tags=("a", "b"), labels={"app": "x"})
    await cache.put(2, tags=("ab",), labels={"app": "xy"})
    _, said = await cache.ask("GET", f"/v1/cache/entries?{query}")
    assert len(orjson.loads(said)["entries"]) == count


@pytest.mark.parametrize("query", ["colour=red", "tier=tape", "limit=x", "after=zz"])
async def test_a_list_that_makes_no_sense_is_a_mistake(cache: Cache, query: str) -> None:
    assert (await cache.ask("GET", f"/v1/cache/entries?{query}"))[0] == 400


async def test_an_entry_is_found_by_the_beginning_of_its_fingerprint(cache: Cache) -> None:
    await cache.put(0x11112222)
    await cache.put(0x11113333)
    assert (await cache.ask("GET", "/v1/cache/entries/11112222"))[0] == 200
    assert (await cache.ask("GET", "/v1/cache/entries/99999999"))[0] == 404
    assert (await cache.ask("GET", "/v1/cache/entries/1111"))[0] == 400
    await cache.store.near.put(bytes.fromhex("11112222") + b"\1" * 28, stored())
    status, said = await cache.ask("GET", "/v1/cache/entries/11112222")
    assert (status, len(orjson.loads(said)["entries"])) == (409, 2)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/cache/export"),
        ("POST", "/v1/cache/import"),
        ("GET", "/v1/cache/entries"),
        ("GET", "/v1/cache/entries/11112222"),
        ("GET", "/v1/cache/entries/11112222/body"),
        ("POST", "/v1/cache/verify"),
        ("POST", "/v1/cache/held"),
        ("POST", "/v1/cache/promote"),
    ],
)
@pytest.mark.parametrize("fields", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}])
async def test_all_about_entries_needs_the_token(cache: Cache, method: str, path: str, fields: dict[str, str]) -> None:
    await cache.put(0x11112222)
    status, said = await cache.ask(method, path, fields=fields)
    assert (status, b"admin.token" in said) == (401, True)


async def test_the_body_is_handed_out_with_the_token(cache: Cache) -> None:
    await cache.put(0x11112222, body=b"plain", packed=False)
    assert await cache.ask("GET", "/v1/cache/entries/11112222/body") == (200, b"plain")


# -- export and import


async def exported(cache: Cache) -> bytes:
    status, lines = await cache.ask("GET", "/v1/cache/export")
    assert status == 200
    return lines


async def imported(cache: Cache, lines: bytes) -> tuple[int, dict[str, object]]:
    status, said = await cache.ask("POST", "/v1/cache/import", lines)
    return status, orjson.loads(said)


async def test_what_was_exported_is_imported_elsewhere(cache: Cache) -> None:
    key = await cache.put(1)
    await cache.put(2, ttl_s=5.0)  # past its time
    async with Cache() as other:
        status, counts = await imported(other, await exported(cache))
        assert (status, counts["imported"], counts["broken"]) == (200, 1, 0)
        assert await other.store.get(key) == await cache.store.get(key)
        assert (await imported(other, await exported(cache)))[1]["known"] == 1


async def test_what_was_invalidated_does_not_come_back_with_an_old_export(cache: Cache) -> None:
    key = await cache.put(1, tags=("a",))
    old = await exported(cache)
    cache.store.rules.add(Rule(Kind.TAG, "a", int(time.time() * 1_000_000)))
    await cache.store.near.delete(key)
    assert (await imported(cache, old))[1]["invalidated"] == 1
    assert await cache.store.get(key) is None


async def test_an_epoch_from_the_future_is_not_believed(cache: Cache) -> None:
    await cache.put(1, epoch=2**62)
    lines = await exported(cache)
    async with Cache() as other:
        other.store.rules.add(Rule(Kind.ALL, "", int(time.time() * 1_000_000)))
        assert (await imported(other, lines))[1]["invalidated"] == 1


async def test_another_key_or_no_export_is_refused(cache: Cache) -> None:
    await cache.put(1)
    lines = await exported(cache)
    async with Cache(key=b"\1" * 32) as other:
        status, said = await imported(other, lines)
        assert (status, "cache.key_file" in str(said["error"])) == (409, True)
    for wrong in (b"", b"{}\n", b"[]", b"\0\1", lines.replace(b'"version":1', b'"version":9')):
        assert (await imported(cache, wrong))[0] == 409


async def test_an_export_that_is_cut_off_is_said_to_be(cache: Cache) -> None:
    await cache.put(1)
    whole = await exported(cache)
    async with Cache() as other:
        status, said = await imported(other, whole[: whole.rindex(b'{"end"')])
        assert (status, "cut off" in str(said["error"]), said["imported"]) == (409, True, 1)


async def test_a_tampered_entry_is_not_taken(cache: Cache) -> None:
    await cache.put(1)
    head, line, *rest = (await exported(cache)).splitlines()
    fields = orjson.loads(line)
    sealed = bytearray(base64.b64decode(fields["sealed"]))
    sealed[-1] ^= 1
    broken = orjson.dumps({**fields, "sealed": base64.b64encode(sealed).decode()})
    moved = orjson.dumps({**fields, "fingerprint": "77" * 32})
    async with Cache() as other:
        counts = (await imported(other, b"\n".join([head, broken, moved, b"nonsense", *rest])))[1]
        assert (counts["broken"], counts["imported"]) == (3, 0)


async def test_nothing_in_the_clear_gets_into_a_cache_that_encrypts(cache: Cache, tmp_path: Path) -> None:
    await cache.put(1)
    clear = await exported(cache)
    async with Cache(Sealer(key_file(tmp_path, "a"))) as sealed:
        assert (await imported(sealed, clear))[0] == 409
        counts = (await imported(sealed, clear.replace(b'"encrypted":false', b'"encrypted":true')))[1]
        assert (counts["broken"], counts["imported"]) == (1, 0)
        await sealed.put(2)
        hidden = await exported(sealed)
    async with Cache(Sealer(key_file(tmp_path, "a"))) as alike:
        assert (await imported(alike, hidden))[1]["imported"] == 1
    assert (await imported(cache, hidden))[0] == 409


# -- check and promote


async def test_a_broken_entry_on_disk_is_found_and_deleted(tmp_path: Path) -> None:
    rules = Rules()
    async with disk(tmp_path / "cache.sqlite", clock=time.time) as kept:
        store = Tiers(MemoryStore(1 << 20), (kept,), rules, TaskSet(), Admission())
        stock = Stock(
            store, {"memory": store.near, "disk": kept}, Sealer(), lambda: bytes(32), AdminToken(TOKEN), time.time
        )
        for number in (1, 2):
            await kept.put(number.to_bytes(32), stored())
        with sqlite3.connect(tmp_path / "cache.sqlite") as file:
            file.execute("UPDATE entries SET content = zeroblob(length(content)) WHERE key = ?", ((1).to_bytes(32),))
        file.close()
        checked = await stock.check(b"", deletes=False)
        assert (checked.entries, checked.broken, checked.deleted) == (2, 1, 0)
        assert (await stock.check(b"", deletes=True)).deleted == 1
        assert (await stock.check(b"", deletes=False)).entries == 1
        prefix = (2).to_bytes(32).hex()[:24]
        # the only entry whose first 24 digits are zeros
        assert await stock.promote([prefix, "f" * 24]) == {"promoted": 1, "already": 0, "gone": 1}
        assert store.near.peek((2).to_bytes(32)) is not None
        assert (await stock.held([prefix]))[prefix][1] == ["memory", "disk"]


def test_the_token_is_private_and_stays(tmp_path: Path) -> None:
    AdminToken.of(tmp_path)
    path = tmp_path / "admin.token"
    text = path.read_text().strip()
    assert path.stat().st_mode & 0o777 == 0o600
    assert AdminToken.of(tmp_path).allows(f"Bearer {text}")
    assert not AdminToken.of(tmp_path).allows("Bearer ")
    assert text not in repr(AdminToken.of(tmp_path))


def test_a_token_in_a_file_counts_as_it_is_now(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("a" * 32 + "\n")
    token = AdminToken.of(tmp_path, file)
    assert token.allows(f"Bearer {'a' * 32}")
    file.write_text("b" * 32)
    assert (token.allows(f"Bearer {'a' * 32}"), token.allows(f"bearer {'b' * 32}")) == (False, True)
    file.unlink()
    assert not token.allows(f"Bearer {'b' * 32}")
    file.mkdir()
    assert not token.allows(f"Bearer {'b' * 32}")
    assert not (tmp_path / "admin.token").exists()


@pytest.mark.parametrize("text", ["", "short", "\xe9" * 40])
def test_a_file_without_a_token_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secret"
    file.write_text(text, "latin-1")
    with pytest.raises(ValueError, match="at least 32"):
        AdminToken.of(tmp_path, file)
