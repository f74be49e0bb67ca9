"""Who may ask the admin listener for what, decided before any page is.

Rules: probes, metrics and statistics are for everybody who reaches it; everything about the cache needs the token, on
loopback too, where any user and any page in a browser could ask. A browser is told nothing else either: a page of
another origin is turned away, and so is a name that merely leads to this machine (DNS rebinding), for nobody who means
a listener on loopback has to call it by such a name. Beyond loopback names are ordinary: those of Services.
"""

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.admin.token import AdminToken

_PROBES: Final = ("/livez", "/readyz")
_PRIVATE: Final = "/v1/cache/"
_REMEDY: Final = (
    "this needs `Authorization: Bearer` and the token in the file that admin.token_file names, or else in admin.token, "
    "in the data directory"
)


def guard(token: AdminToken) -> Middleware:
    """The rules, for aiohttp."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if request.path in _PROBES:
            return await handler(request)
        if not is_expected(host, _is_local(request)):
            return _refused(403, f"call it by its address, or localhost: {host[:100]!r} could be anybody's name for it")
        if origin is not None and _place_of(origin) != host.lower():
            return _refused(403, "this is not for pages of other origins")
        if _is_private(request) and not token.allows(request.headers.get("Authorization", "")):
            return _refused(401, _REMEDY)
        return await handler(request)

    return guarded


def _is_private(request: web.Request) -> bool:
    """By the route that was found, so that no other spelling of its path is a way around."""
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical.startswith(_PRIVATE)


def is_expected(host: str, is_local: bool) -> bool:
    """Whether a Host field can be that of somebody who means us. `is_local`: the connection came over loopback."""
    name = _name_in(host)
    return not is_local or not host or name == "localhost" or name.endswith(".localhost") or _is_address(name)


def _name_in(host: str) -> str:
    """The name in a Host field, in small letters; empty if it cannot be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _place_of(origin: str) -> str:
    """Host and port in an Origin field; empty if there are none, as in `null`."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_local(request: web.Request) -> bool:
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    return name is None or ip_address(name[0].partition("%")[0]).is_loopback


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _refused(status: int, reason: str) -> web.Response:
    fields = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    body = orjson.dumps({"error": reason})
    return web.Response(body=body, status=status, headers=fields, content_type="application/json")
