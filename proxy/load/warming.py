"""Sends a list of requests through the proxy, as any client would, within a number of calls at once and a budget.

Rules: what a call cost is what the proxy says of it (`x-skinflint-cost-usd`). Where it says nothing, as for streams,
and while it is under way, it counts as much as the dearest so far, and at least ASSUMED_USD: no call is begun that
could exceed the budget by that reckoning. No credential is ever shown: not in errors, not in repr. A proxy that does
not know who asks (407) is asked no more.
"""

import base64
import http.client
import queue
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final

import orjson

from proxy.load.destination import Origin, origin_from

ASSUMED_USD: Final = 0.01
_TIMEOUT_S: Final = 600.0
_UNKNOWN: Final = "Tunnel connection failed: 407"  # as http.client says it
_COSTS_NOTHING: Final = ("hit", "collapsed")


@dataclass(frozen=True, slots=True)
class WarmRequest:
    """One line."""

    origin: Origin
    method: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)


def read_request(line: bytes, base_url: str | None, fields: Mapping[str, str]) -> WarmRequest:
    """A line of the file; `fields` go with each request, and the line's own headers win. Raises ValueError."""
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ValueError("is no JSON") from None
    url = said.get("url") if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(url, str):
        raise ValueError("must be an object with a url")  # noqa: TRY004 - of what stands in the line, not of an argument
    if url.startswith("/"):
        if base_url is None:
            raise ValueError("the url is only a path: say with --base-url where it belongs")
        url = base_url.rstrip("/") + (url.removeprefix("/v1") if base_url.rstrip("/").endswith("/v1") else url)
    own = said.get("headers") or {}
    if not isinstance(own, dict) or not all(isinstance(value, str) for value in own.values()):
        raise ValueError("headers must be an object of text")
    names = {name.lower() for name in own}
    headers = {**{name: value for name, value in fields.items() if name.lower() not in names}, **own}
    if any("\n" in value or "\r" in value for value in headers.values()):
        raise ValueError("a header has a line break")
    body = said.get("body")
    content = body.encode() if isinstance(body, str) else None if body is None else orjson.dumps(body)
    if content is not None and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "application/json"
    method = said.get("method", "POST")
    if not isinstance(method, str) or not method.isalpha():
        raise ValueError("method must be a word")
    try:
        origin = origin_from(url)
    except ValueError:
        raise ValueError("url must be http://HOST/PATH or https://HOST/PATH") from None
    return WarmRequest(origin, method.upper(), headers, content)


@dataclass(frozen=True, slots=True)
class Way:
    """Through which proxy, whose root is trusted, and how it knows us: `Proxy-Authorization`, empty for not at all."""

    proxy: tuple[str, int]
    ca: Path
    authorization: str = field(default="", repr=False)


def authorization(token: str) -> str:
    """Proxy-Authorization for `TOKEN` or `TENANT:TOKEN`. Raises ValueError, without the token."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("must be one line, TOKEN or TENANT:TOKEN")
    return f"Basic {base64.b64encode(token.encode()).decode()}" if ":" in token else f"Bearer {token}"


class Budget:
    """What may still be begun. Safe from any thread."""

    def __init__(self, limit_usd: float | None) -> None:
        self._limit = limit_usd
        self._lock = threading.Lock()
        self._dearest = ASSUMED_USD
        self._under_way = 0
        self.spent_usd = 0.0
        self.unknown = 0  # calls whose cost the proxy did not say

    def begin(self) -> bool:
        """May one more call be made? Then it counts as under way."""
        with self._lock:
            reckoned = self.spent_usd + (self._under_way + 1 + self.unknown) * self._dearest
            if self._limit is not None and reckoned > self._limit:
                return False
            self._under_way += 1
            return True

    def settle(self, usd: float | None) -> None:
        """It has ended; None: at an unknown cost."""
        with self._lock:
            self._under_way -= 1
            if usd is None:
                self.unknown += 1
            else:
                self.spent_usd += usd
                self._dearest = max(self._dearest, usd)

    @property
    def is_idle(self) -> bool:
        """Nothing is under way: what does not fit now never will."""
        with self._lock:
            return self._under_way == 0


class Warming:
    """See the module."""

    def __init__(self, requests: list[WarmRequest], way: Way, concurrency: int, budget_usd: float | None) -> None:
        self.requests = requests
        self.is_unknown = False  # the proxy does not know who asks
        self._way = way
        self._own_fields = {"Proxy-Authorization": way.authorization} if way.authorization else {}
        self._trust = ssl.create_default_context(cafile=str(way.ca))
        self._concurrency = min(concurrency, len(requests))
        self._budget = Budget(budget_usd)
        self._waiting: queue.SimpleQueue[WarmRequest] = queue.SimpleQueue()
        self._counts = {"hits": 0, "misses": 0, "failed": 0, "not_sent": 0}
        self._lock = threading.Lock()
        self._over = threading.Event()

    def run(self, advance: Callable[[], None]) -> dict[str, object]:
        """Send them; what came of it."""
        for request in self.requests:
            self._waiting.put(request)
        threads = [threading.Thread(target=self._work, args=(advance,), daemon=True) for _ in range(self._concurrency)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._counts["not_sent"] = self._waiting.qsize()
        spent = round(self._budget.spent_usd, 9)
        return {**self._counts, "spent_usd": spent, "cost_unknown": self._budget.unknown}

    def _work(self, advance: Callable[[], None]) -> None:
        connections: dict[tuple[str, str], http.client.HTTPConnection] = {}
        try:
            while not self._over.is_set():
                if not self._budget.begin():
                    if self._budget.is_idle:
                        self._over.set()
                    self._over.wait(0.02)
                    continue
                try:
                    request = self._waiting.get_nowait()
                except queue.Empty:
                    self._budget.settle(0.0)
                    return
                self._one(request, connections)
                advance()
        finally:
            for connection in connections.values():
                connection.close()

    def _one(self, request: WarmRequest, connections: dict[tuple[str, str], http.client.HTTPConnection]) -> None:
        place = (request.origin.scheme, request.origin.authority)
        paid: float | None = 0.0
        outcome = "failed"
        try:
            connection = connections.get(place) or connections.setdefault(place, self._connect(request.origin))
            response = self._asked(request, connection)
            said = response.headers.get("x-skinflint-cache", "")
            paid = 0.0 if said in _COSTS_NOTHING else _cost(response.headers.get("x-skinflint-cost-usd"))
            if 200 <= response.status < 300:
                outcome = "hits" if said in _COSTS_NOTHING else "misses"
        except (OSError, http.client.HTTPException, ValueError) as failure:
            if (broken := connections.pop(place, None)) is not None:
                broken.close()
            paid = None  # it may have been charged
            if _UNKNOWN in str(failure):
                paid = 0.0
                self.is_unknown = True
                self._over.set()
        self._budget.settle(paid)
        with self._lock:
            self._counts[outcome] += 1

    def _asked(self, request: WarmRequest, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        """The answer, read to its end. Raises OSError, with _UNKNOWN in it, where the proxy does not know us."""
        is_plain = request.origin.scheme == "http"
        fields = {**request.headers, **(self._own_fields if is_plain else {})}
        connection.request(request.method, self._target(request.origin), request.body, fields)
        response = connection.getresponse()
        response.read()
        if is_plain and response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            raise OSError(_UNKNOWN)
        return response

    def _connect(self, origin: Origin) -> http.client.HTTPConnection:
        host, port = self._way.proxy
        if origin.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=self._trust)
        connection.set_tunnel(origin.host, origin.port, self._own_fields)
        return connection

    @staticmethod
    def _target(origin: Origin) -> str:
        return f"http://{origin.authority}{origin.path}" if origin.scheme == "http" else origin.path


def _cost(said: str | None) -> float | None:
    try:
        return float(said) if said is not None else None
    except ValueError:  # unpriced
        return None
