"""What operators may do with the entries of the cache: list, find, check, promote. Metadata only: see carrying.py for
what leaves and comes in.

Rules: local tiers alone (memory or the arena, and disk): Redis is not looked through. A request looks at a bounded
number of entries, and says where the next one goes on.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from proxy.admin.token import AdminToken
from proxy.stores.base import Entry, StoreUnavailableError
from proxy.stores.listing import Flaw, Found, Kept, Listing, before, walk
from proxy.stores.sealing.sealer import Sealer
from proxy.stores.tiers import Tiers

LOOKED_AT: Final = 4_096  # entries, in one request
AMBIGUOUS: Final = 10  # entries of one prefix that are named
FILTERS: Final = ("tier", "provider", "operation", "model", "namespace", "tag", "label", "credential", "state")
NANO: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Page:
    """Some of it; `after`: where the next one goes on, None at the end."""

    lines: list[dict[str, object]]
    after: str | None


@dataclass(slots=True)
class Checked:
    """How many entries, and bytes, are how."""

    entries: int = 0
    bytes: int = 0
    broken: int = 0
    broken_bytes: int = 0
    locked: int = 0
    locked_bytes: int = 0
    expired: int = 0
    expired_bytes: int = 0
    deleted: int = 0
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Stock:
    """See the module. `sealer`: for what leaves and comes in; `key`: of the digests that fingerprints are."""

    store: Tiers
    listings: Mapping[str, Listing]
    sealer: Sealer
    key: Callable[[], bytes]
    token: AdminToken
    clock: Callable[[], float]

    async def page(self, after: bytes, limit: int, wanted: Mapping[str, str]) -> Page:
        """The next entries that match. Raises StoreUnavailableError."""
        lines: list[dict[str, object]] = []
        looked_at = 0
        tiers = {name: each for name, each in self.listings.items() if wanted.get("tier", name) == name}
        async for found in walk(tiers, after):
            looked_at += 1
            line = self.line(found)
            if _matches(line, wanted):
                lines.append(line)
            if len(lines) >= limit or looked_at >= LOOKED_AT:
                return Page(lines, found.key.hex())
        return Page(lines, None)

    async def find(self, prefix: str) -> list[Found]:
        """Those whose fingerprint begins so; some, if they are many. Raises StoreUnavailableError."""
        several: list[Found] = []
        async for found in walk(self.listings, before(prefix)):
            if not found.key.hex().startswith(prefix) or len(several) == AMBIGUOUS:
                break
            several.append(found)
        return several

    def line(self, found: Found) -> dict[str, object]:
        """What is said of an entry: nothing of what was asked or answered."""
        kept = newest(found)
        line: dict[str, object] = {
            "fingerprint": found.key.hex(),
            "tiers": list(found.kept),
            "state": self.state(found.key, kept),
            "size": kept.size,
        }
        if (entry := kept.entry) is not None:
            age = entry.age(self.clock())
            line |= {
                "provider": entry.provider,
                "operation": entry.operation,
                "model": entry.model,
                "namespace": entry.namespace,
                "tags": list(entry.tags),
                "labels": entry.labels,
                "credential": entry.credential,
                "status": entry.status,
                "stored_at": round(entry.stored_at, 3),
                "age_s": round(age, 1),
                "ttl_left_s": round(entry.ttl_s - age, 1),
                "cost_usd": None if entry.cost_nanousd is None else entry.cost_nanousd / NANO,
                "took_ms": entry.took_ms,
                "sensitive": entry.sensitive,
            }
        return line

    def state(self, key: bytes, kept: Kept) -> str:
        """In a word."""
        entry = kept.entry
        if entry is None:
            return (kept.flaw or Flaw.BROKEN).value
        if self.store.rules.is_dead(key, entry):
            return "invalidated"
        return "fresh" if entry.age(self.clock()) <= entry.ttl_s else "expired"

    async def check(self, after: bytes, *, deletes: bool) -> Checked:
        """Open the next entries again. `deletes`: the broken ones. Raises StoreUnavailableError."""
        checked = Checked()
        async for found in walk(self.listings, after):
            states = [(kept.size, self.state(found.key, kept)) for kept in found.kept.values()]
            for size, state in states:
                checked.entries += 1
                checked.bytes += size
                if state in ("broken", "locked", "expired"):
                    setattr(checked, state, getattr(checked, state) + 1)
                    setattr(checked, f"{state}_bytes", getattr(checked, f"{state}_bytes") + size)
            if deletes and any(state == "broken" for _, state in states):
                checked.deleted += await self.store.delete(found.key)
            if checked.entries >= LOOKED_AT:
                checked.after = found.key.hex()
                break
        return checked

    async def held(self, prefixes: Collection[str]) -> dict[str, tuple[bytes, list[str]]]:
        """Which tiers have entries that begin so: by prefix, with the whole key. Raises StoreUnavailableError."""
        held: dict[str, tuple[bytes, list[str]]] = {}
        near, *outer = self.listings
        lengths = {len(prefix) for prefix in prefixes}
        wanted = set(prefixes)
        async for found in walk({near: self.listings[near]}):
            digits = found.key.hex()
            for prefix in {digits[:length] for length in lengths} & wanted:
                held[prefix] = (found.key, [near])
        for name in outer:
            for prefix in wanted:
                for kept in await self.listings[name].entries(before(prefix), 1):
                    if kept.key.hex().startswith(prefix):
                        held.setdefault(prefix, (kept.key, []))[1].append(name)
        return held

    async def promote(self, prefixes: Sequence[str]) -> dict[str, int]:
        """Bring what some tier still has into memory, in this order. Raises StoreUnavailableError."""
        held = await self.held(prefixes)
        near = next(iter(self.listings))
        counts = {"promoted": 0, "already": 0, "gone": 0}
        for prefix in prefixes:
            key, names = held.get(prefix, (b"", []))
            if near in names:
                counts["already"] += 1
                continue
            entry: Entry | None = None
            if key:
                with suppress(StoreUnavailableError):
                    entry = await self.store.get(key)
            counts["promoted" if entry is not None and entry.age(self.clock()) <= entry.ttl_s else "gone"] += 1
        return counts


def newest(found: Found) -> Kept:
    """Of what several tiers have of one key."""
    readable = [kept for kept in found.kept.values() if kept.entry is not None]
    if not readable:
        return next(iter(found.kept.values()))
    return max(readable, key=lambda kept: kept.entry.stored_at if kept.entry is not None else 0.0)


def _matches(line: Mapping[str, object], wanted: Mapping[str, str]) -> bool:
    return all(_has(line, name, value) for name, value in wanted.items())


def _has(line: Mapping[str, object], name: str, value: str) -> bool:
    match name:
        case "tier":
            return True  # only those were looked through
        case "tag":
            tags = line.get("tags")
            return isinstance(tags, list) and value in tags
        case "label":
            labels = line.get("labels")
            label, _, content = value.partition("=")
            return isinstance(labels, dict) and labels.get(label) == content
        case "model" | "namespace":
            return fnmatchcase(str(line.get(name, "")), value)
        case _:
            return line.get(name) == value
