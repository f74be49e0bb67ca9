"""Watching a cluster's pods, so that a client is known by its address.

Rules: a list in pages, then a watch from where it ended; after 410 (the API has forgotten where that was) the list
again. Whatever fails is tried again, after half a second at first and half a minute at last. What is known stays known
meanwhile, but not for longer than `stale_s`: addresses go to other pods. Who waits for an address waits for a limited
time, and so do a limited number.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from typing import Final

import structlog

from config.gateway import KubernetesSources
from proxy.exchange.tenant import Tenant
from proxy.injector.document import MalformedError, Object, section, sections, text
from proxy.kubernetes.api import Api, ApiError, Place
from proxy.kubernetes.pod_table import PodTable
from proxy.tasks import TaskSet

log = structlog.get_logger(__name__)

_PATH: Final = "/api/v1/pods"
_PAGE: Final = "250"
_WATCH_S: Final = 240  # the API is heard at least at its end
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_MOST_WAITING: Final = 1024
_GONE: Final = 410


class PodWatch:
    """See the module. `clock` is monotonic."""

    def __init__(self, settings: KubernetesSources, place: Place, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._place = place
        self._clock = clock
        self._table = PodTable(settings)
        self._tasks = TaskSet()
        self._listed = asyncio.Event()
        self._heard_at: float | None = None
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._waiting_count = 0
        self._pause_s = _FIRST_PAUSE_S
        self._is_failing = False

    # -- what is asked

    def __len__(self) -> int:
        return len(self._table)

    @property
    def age_s(self) -> float | None:
        """Since the API was last heard; None before that."""
        return None if self._heard_at is None else self._clock() - self._heard_at

    def tenant(self, address: str) -> Tenant | None:
        """See access.gate.Pods."""
        age = self.age_s
        return self._table.tenant(address) if age is not None and age <= self.settings.stale_s else None

    async def wait_for(self, address: str) -> None:
        """See access.gate.Pods."""
        if self._table.tenant(address) is not None or self._waiting_count >= _MOST_WAITING:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(address, [])
        waiting.append(future)
        self._waiting_count += 1
        try:
            async with asyncio.timeout(self.settings.wait_s):
                await future
        except TimeoutError:
            pass
        finally:
            self._waiting_count -= 1
            waiting.remove(future)
            if not waiting and self._waiting.get(address) is waiting:
                del self._waiting[address]

    # -- life

    def begin(self) -> None:
        """Start, unless it was started."""
        if not len(self._tasks):
            self._tasks.spawn(self._run(), name="pods")

    async def known(self, within_s: float) -> bool:
        """Wait for the first list."""
        try:
            async with asyncio.timeout(within_s):
                await self._listed.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """End."""
        await self._tasks.cancel()

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except (ApiError, MalformedError) as failure:
                is_news, self._is_failing = not self._is_failing, True
                (log.warning if is_news else log.debug)("pods_unknown", reason=str(failure), pods=len(self))
            await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.0))  # noqa: S311
            self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)

    async def _follow(self) -> None:
        """List, then watch until that does not go on. Raises ApiError."""
        async with Api(self._place) as api:
            version = await self._list(api)
            while version:
                version = await self._watch(api, version)

    async def _list(self, api: Api) -> str:
        """Everything anew; returns what a watch begins with."""
        table, query = PodTable(self.settings), self._query({"limit": _PAGE})
        while True:
            page = await api.ask("GET", _PATH, query=query)
            for pod in sections(page, "items"):
                table.put(pod)
            metadata = section(page, "metadata")
            if not (more := text(metadata, "continue")):
                break
            query["continue"] = more
        self._table = table
        if table.left_out:
            log.warning("pods_left_out", count=table.left_out, max_pods=self.settings.max_pods)
        self._hear()
        if self._is_failing or not self._listed.is_set():
            log.info("pods_known", pods=len(table))
        self._is_failing = False
        self._listed.set()
        for address in list(self._waiting):
            self._wake(address)
        return text(metadata, "resourceVersion")

    async def _watch(self, api: Api, version: str) -> str:
        """Until the server ends it; returns where to go on, or nothing when a new list is needed."""
        query = self._query({"resourceVersion": version})
        within_s = int(_WATCH_S * random.uniform(0.7, 1.0))  # noqa: S311 - not all replicas at once
        began_at = self._clock()
        try:
            async with contextlib.aclosing(api.watch(_PATH, query, within_s)) as events:
                async for event in events:
                    if text(event, "type") == "ERROR":
                        return self._ended(section(event, "object").get("code"))
                    version = self._take(event) or version
        except ApiError as failure:
            if failure.status == _GONE:
                return ""
            raise
        self._hear()
        self._pause_s = _FIRST_PAUSE_S
        if self._clock() - began_at < 1.0:
            await asyncio.sleep(1.0)  # a server that ends each watch at once is not asked without end
        return version

    def _ended(self, code: object) -> str:
        if code != _GONE:
            raise ApiError(code if isinstance(code, int) else 0, "the watch ended with an error")
        return ""

    def _take(self, event: Object) -> str:
        """One event; returns its version."""
        pod, kind = section(event, "object"), text(event, "type")
        if kind in ("ADDED", "MODIFIED"):
            for address in self._table.put(pod):
                self._wake(address)
        elif kind == "DELETED":
            self._table.remove(pod)
        self._hear()
        self._pause_s = _FIRST_PAUSE_S  # only a watch that works: a list may succeed again and again
        return text(section(pod, "metadata"), "resourceVersion")

    def _query(self, more: dict[str, str]) -> dict[str, str]:
        fields = ["status.phase!=Succeeded", "status.phase!=Failed"]
        if self.settings.node is not None:
            fields.append(f"spec.nodeName={self.settings.node}")
        return {"fieldSelector": ",".join(fields), **more}

    def _hear(self) -> None:
        self._heard_at = self._clock()

    def _wake(self, address: str) -> None:
        if self._table.tenant(address) is None:
            return
        for future in self._waiting.get(address, ()):
            if not future.done():
                future.set_result(None)
