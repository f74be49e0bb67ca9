"""The admin listener's pages about single entries: list, find, check, promote, export and import.

    GET  /v1/cache/entries?limit=&after=&model=…      POST /v1/cache/verify   {"after": "", "delete": false}
    GET  /v1/cache/entries/PREFIX                     POST /v1/cache/held     {"fingerprints": […]}
    GET  /v1/cache/entries/PREFIX/body                POST /v1/cache/promote  {"fingerprints": […]}
    GET  /v1/cache/export                             POST /v1/cache/import

Rules: all of it needs the token (guard.py). Bodies and exports say what was answered, all else only who, what and when.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Final

import orjson
from aiohttp import StreamReader, web

from proxy.admin.carrying import LINE_BYTES, Import, ImportRefusedError, exported
from proxy.admin.stock import FILTERS, Stock, newest
from proxy.exchange.headers import text
from proxy.stores.base import StoreUnavailableError
from proxy.stores.listing import Found

_MOST_LISTED: Final = 1_000
_MOST_ASKED: Final = 1_000  # fingerprints in one request
_HEX: Final = re.compile(r"[0-9a-f]{8,64}")
_KEY: Final = re.compile(r"([0-9a-f]{64})?")
_CHUNK_BYTES: Final = 262_144

type Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BadRequestError(Exception):
    """Says what is wanted."""


class EntryPages:
    """See the module."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock

    def add_to(self, app: web.Application) -> None:
        """Their routes."""
        router = app.router
        router.add_get("/v1/cache/entries", _guarded(self._list))
        router.add_get("/v1/cache/entries/{prefix}", _guarded(self._show))
        router.add_get("/v1/cache/entries/{prefix}/body", _guarded(self._body))
        router.add_post("/v1/cache/verify", _guarded(self._verify))
        router.add_post("/v1/cache/held", _guarded(self._held))
        router.add_post("/v1/cache/promote", _guarded(self._promote))
        router.add_get("/v1/cache/export", _guarded(self._export))
        router.add_post("/v1/cache/import", _guarded(self._import))

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        if unknown := set(query) - {"limit", "after", *FILTERS}:
            raise BadRequestError(f"{min(unknown)}: filters are {', '.join(FILTERS)}, besides limit and after")
        tier = query.get("tier")
        if tier is not None and tier not in self._stock.listings:
            raise BadRequestError(f"tier: must be one of {', '.join(self._stock.listings)}")
        try:
            limit = min(max(int(query.get("limit", "100")), 1), _MOST_LISTED)
        except ValueError:
            raise BadRequestError("limit: must be a number") from None
        wanted = {name: query[name] for name in FILTERS if name in query}
        page = await self._stock.page(_after(query.get("after", "")), limit, wanted)
        return _json({"entries": page.lines, "after": page.after})

    async def _show(self, request: web.Request) -> web.Response:
        several = await self._several(request)
        if len(several) == 1:
            return _json(self._stock.line(several[0]))
        return self._not_one(several)

    async def _body(self, request: web.Request) -> web.Response:
        several = await self._several(request)
        if len(several) != 1:
            return self._not_one(several)
        entry = newest(several[0]).entry
        if entry is None:
            return _json({"error": "it cannot be opened"}, 404)
        fields = {"Content-Type": text(entry.headers, b"content-type") or "application/octet-stream"}
        if coding := text(entry.headers, b"content-encoding"):
            fields["X-Skinflint-Coding"] = coding
        return web.Response(body=entry.original(), headers=fields)

    async def _several(self, request: web.Request) -> list[Found]:
        prefix = request.match_info["prefix"].lower()
        if not _HEX.fullmatch(prefix):
            raise BadRequestError("a fingerprint is named by its first 8 to 64 hexadecimal digits")
        return await self._stock.find(prefix)

    def _not_one(self, several: list[Found]) -> web.Response:
        if not several:
            return _json({"error": "no tier of this machine has such an entry"}, 404)
        lines = [self._stock.line(found) for found in several]
        return _json({"error": "several entries begin so: give more digits", "entries": lines}, 409)

    async def _verify(self, request: web.Request) -> web.Response:
        asked = await _object(request)
        after, deletes = asked.get("after", ""), asked.get("delete", False)
        if not isinstance(after, str) or not isinstance(deletes, bool):
            raise BadRequestError("after must be a fingerprint, delete true or false")
        return _json(asdict(await self._stock.check(_after(after), deletes=deletes)))

    async def _held(self, request: web.Request) -> web.Response:
        held = await self._stock.held(await _fingerprints(request))
        return _json({"held": {prefix: names for prefix, (_, names) in held.items()}})

    async def _promote(self, request: web.Request) -> web.Response:
        return _json(dict(await self._stock.promote(await _fingerprints(request))))

    async def _export(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        waiting = bytearray()
        async for line in exported(self._stock):
            waiting += line
            if len(waiting) >= _CHUNK_BYTES:
                await response.write(bytes(waiting))
                waiting.clear()
        await response.write(bytes(waiting))
        await response.write_eof()
        return response

    async def _import(self, request: web.Request) -> web.Response:
        importing = Import(self._stock)
        try:
            async for line in _lines(request.content):
                await importing.take(line)
            importing.end()
        except ImportRefusedError as refusal:
            return _json({"error": str(refusal), **asdict(importing.counts)}, 409)
        return _json(asdict(importing.counts))


def _guarded(page: Page) -> Page:
    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            return await page(request)
        except BadRequestError as failure:
            return _json({"error": str(failure)}, 400)
        except StoreUnavailableError as failure:
            return _json({"error": str(failure)}, 503)

    return guarded


def _after(digits: str) -> bytes:
    if not _KEY.fullmatch(digits):
        raise BadRequestError("after: must be the fingerprint that the page before ended with")
    return bytes.fromhex(digits)


async def _object(request: web.Request) -> dict[str, object]:
    try:
        given = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise BadRequestError("the body must be a JSON object")
    return given


async def _fingerprints(request: web.Request) -> list[str]:
    given = (await _object(request)).get("fingerprints")
    if not isinstance(given, list) or len(given) > _MOST_ASKED:
        raise BadRequestError(f"fingerprints: must be a list of at most {_MOST_ASKED}")
    if not all(isinstance(each, str) and _HEX.fullmatch(each) for each in given):
        raise BadRequestError("fingerprints: each must be 8 to 64 hexadecimal digits")
    return [str(each) for each in given]


async def _lines(content: StreamReader) -> AsyncIterator[bytes]:
    """Raises ImportRefusedError for a line that is too long to be an entry."""
    left = bytearray()
    async for chunk in content.iter_chunked(_CHUNK_BYTES):
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            left += part
            yield bytes(left)
            left.clear()
        left += rest
        if len(left) > LINE_BYTES:
            raise ImportRefusedError(f"a line is longer than {LINE_BYTES} bytes")
    yield bytes(left)


def _json(fields: dict[str, object], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(fields), status=status, content_type="application/json")
