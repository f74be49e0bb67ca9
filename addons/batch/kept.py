"""Single vectors in the store: entries of their own, with the vector as their body, byte for byte as it came.

The answer's template stands in a field of the entry that no answer ever has. Many are written a few at a time, so that
other calls have their turn.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from addons.batch.parts import Part, Wanted
from addons.cache import age_and_ttl
from proxy.exchange import cache_control
from proxy.exchange.cache_control import Use
from proxy.exchange.headers import HeaderList, first
from proxy.exchange.model import Exchange
from proxy.stores.base import Entry, Peeking, Store, pack
from proxy.tasks import TaskSet

_TEMPLATE = b"x-skinflint-template"
_AT_ONCE = 8  # about a millisecond, with floats as text


class Kept:
    """The store, as the stage `batch` sees it."""

    def __init__(self, store: Store, tasks: TaskSet, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._peeks = store if isinstance(store, Peeking) else None
        self._tasks = tasks
        self._clock = clock

    async def find(self, keys: Iterable[bytes], exchange: Exchange) -> dict[bytes, Part]:
        """What is stored of these, and fresh enough."""
        found: dict[bytes, Entry] = {}
        asked: list[asyncio.Task[None]] = []
        for key in keys:
            entry = self._peeks.peek(key) if self._peeks is not None else None
            if entry is not None:
                found[key] = entry
                continue
            task = self._tasks.spawn(self._get(key, found), name="element get")
            if not task.done():
                asked.append(task)
        if asked:
            await asyncio.wait(asked)
        parts = ((key, _part(entry, exchange)) for key, entry in found.items())
        return {key: part for key, part in parts if part is not None}

    async def _get(self, key: bytes, found: dict[bytes, Entry]) -> None:
        entry = await self._store.get(key)
        if entry is not None:
            found[key] = entry

    async def keep(self, exchange: Exchange, parts: Sequence[tuple[Wanted, Part]], took_ms: int) -> None:
        """Store these. `exchange`: on whose behalf."""
        for at, (wanted, part) in enumerate(parts):
            if at and at % _AT_ONCE == 0:
                await asyncio.sleep(0)
            owner = exchange if wanted.payer is None else wanted.payer.exchange
            most = owner.policy.max_bytes if owner.policy is not None else None
            if most is None or len(part.value) <= most:
                await self._store.put(wanted.key, self._entry(owner, wanted, part, took_ms))

    def _entry(self, owner: Exchange, wanted: Wanted, part: Part, took_ms: int) -> Entry:
        body, is_packed = pack(part.value, None)
        return Entry(
            status=200,
            headers=[*_content_type(part.fields), (_TEMPLATE, part.template)],
            body=body,
            packed=is_packed,
            stored_at=self._clock(),
            ttl_s=owner.ttl_s,
            provider=owner.provider.name if owner.provider is not None else "",
            operation=owner.operation.name,
            model=(part.usage.model if part.usage is not None else "") or owner.facts.model,
            usage=part.usage,
            cost_nanousd=part.cost_nanousd,
            epoch=wanted.epoch,
            took_ms=took_ms,
            namespace=owner.namespace,
            tags=owner.asked.tags,
            labels=owner.labels,
            credential=owner.credential[:12],
            sensitive=bool(owner.policy is not None and owner.policy.sensitive),
        )


def _part(entry: Entry, exchange: Exchange) -> Part | None:
    template = first(entry.headers, _TEMPLATE)
    age, ttl = age_and_ttl(exchange, entry)
    if template is None or cache_control.judge(exchange.directives, age, ttl) is Use.NO:
        return None
    fields = _content_type(entry.headers)
    return Part(entry.original(), template, fields, entry.usage, entry.cost_nanousd, age, ttl - age)


def _content_type(headers: HeaderList) -> HeaderList:
    return [field for field in headers if field[0] == b"content-type"]
