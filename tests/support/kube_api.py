"""A small Kubernetes API server for tests, over TLS on loopback: pods with list and watch, Secrets and ConfigMaps.

Rules: it takes the token that is in the service account's folder now, and no other; objects have growing versions; a
list comes in pages; what it was asked is kept. Troubles are switched on by attributes.
"""

import asyncio
import copy
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
from aiohttp import web

from proxy.injector.document import Object
from tests.support.x509 import TestCa


def pod(name: str, address: str, namespace: str = "search", **more: object) -> Object:
    """A running pod. `more`: labels, phase, host_network, uid, created, owner."""
    spec: Object = {"nodeName": "node-1", "hostNetwork": bool(more.get("host_network"))}
    metadata: Object = {
        "name": name,
        "namespace": namespace,
        "uid": str(more.get("uid", f"uid-{name}")),
        "creationTimestamp": str(more.get("created", "2026-01-01T00:00:00Z")),
        "labels": copy.copy(more.get("labels", {})),  # type: ignore[dict-item]
    }
    if owner := more.get("owner"):
        kind, _, owner_name = str(owner).partition("/")
        metadata["ownerReferences"] = [{"kind": kind, "name": owner_name, "controller": True}]
    ips: list[object] = [{"ip": address}] if address else []
    status: Object = {"phase": str(more.get("phase", "Running")), "podIP": address, "podIPs": ips}  # type: ignore[dict-item]
    return {"metadata": metadata, "spec": spec, "status": status}


class KubeApi:
    """The server. `account` is a service account's folder; `url` where it listens."""

    def __init__(self, folder: Path) -> None:
        self.account = folder / "account"
        self.account.mkdir(parents=True)
        self._ca = TestCa(self.account)
        (self.account / "ca.crt").write_bytes(self._ca.root.read_bytes())
        (self.account / "namespace").write_text("skinflint")
        self.token = "first"
        self.renew("first")
        self.url = ""
        self.version = 100
        self.pods: dict[str, Object] = {}
        self.objects: dict[str, Object] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.page = 2  # objects in a page, whatever is asked for
        self.fails = False  # 500 to everything
        self.is_gone = False  # 410 to each watch
        self.forbids: set[str] = set()
        self.raced: Object | None = None  # appears when somebody makes an object
        self._events: list[tuple[int, Object]] = []
        self._watchers: list[asyncio.Queue[Object | None]] = []

    def renew(self, token: str) -> None:
        """The kubelet has a new token."""
        self.token = token
        (self.account / "token").write_text(f"{token}\n")

    # -- pods

    def put(self, one: Object) -> None:
        """A pod is there, or changed."""
        metadata = one["metadata"]
        assert isinstance(metadata, dict)
        kind = "MODIFIED" if str(metadata["uid"]) in self.pods else "ADDED"
        self._change(kind, one)
        self.pods[str(metadata["uid"])] = one

    def remove(self, name: str) -> None:
        """A pod is gone."""
        self._change("DELETED", self.pods.pop(f"uid-{name}"))

    def bookmark(self) -> None:
        """Nothing new."""
        self._change("BOOKMARK", {"metadata": {}})

    def end_watches(self, error: int = 0) -> None:
        """Each ends, in order or with an error."""
        for watcher in self._watchers:
            if error:
                watcher.put_nowait({"type": "ERROR", "object": {"code": error, "kind": "Status"}})
            watcher.put_nowait(None)

    def _change(self, kind: str, one: Object) -> None:
        self.version += 1
        metadata = one["metadata"]
        assert isinstance(metadata, dict)
        metadata["resourceVersion"] = str(self.version)
        event: Object = {"type": kind, "object": copy.deepcopy(one)}
        self._events.append((self.version, event))
        for watcher in self._watchers:
            watcher.put_nowait(event)

    @property
    def watches(self) -> int:
        """How many are open."""
        return len(self._watchers)

    # -- the server

    async def handle(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.asked.append((request.method, request.path, query))
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized")
        if self.fails or f"{request.method} {request.path}" in self.forbids:
            return _status(500 if self.fails else 403, "no")
        if request.path != "/api/v1/pods":
            return await self._object(request)
        return await (self._watch(request) if query.get("watch") else self._list(query))

    async def _list(self, query: dict[str, str]) -> web.StreamResponse:
        at = int(query.get("continue", "0"))
        pods = list(self.pods.values())
        metadata: dict[str, object] = {"resourceVersion": str(self.version)}
        if at + self.page < len(pods):
            metadata["continue"] = str(at + self.page)
        return _json({"kind": "PodList", "metadata": metadata, "items": pods[at : at + self.page]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if self.is_gone:
            return _status(410, "too old resource version")
        answer = web.StreamResponse(headers={"content-type": "application/json"})
        queue: asyncio.Queue[Object | None] = asyncio.Queue()
        await answer.prepare(request)
        for version, event in self._events:
            if version > int(request.query["resourceVersion"]):
                queue.put_nowait(event)
        self._watchers.append(queue)
        try:
            while (told := await queue.get()) is not None:
                line = orjson.dumps(told) + b"\n"
                await answer.write(line[:10])  # events come in pieces
                await answer.write(line[10:])
        except ConnectionError:
            pass
        finally:
            self._watchers.remove(queue)
        return answer

    async def _object(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if request.method == "POST":
            wanted: Object = orjson.loads(await request.read())
            metadata = wanted["metadata"]
            assert isinstance(metadata, dict)
            place = f"{path}/{metadata['name']}"
            if self.raced is not None:
                self.objects[place], self.raced = self.raced, None
            if place in self.objects:
                return _status(409, "already exists")
            self.objects[place] = wanted
            return _json(wanted, 201)
        if path not in self.objects:
            return _status(404, "not found")
        if request.method == "PATCH":
            assert request.content_type == "application/merge-patch+json"
            data = self.objects[path].setdefault("data", {})
            assert isinstance(data, dict)
            data.update(orjson.loads(await request.read())["data"])
        return _json(self.objects[path])


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def _status(code: int, message: str) -> web.Response:
    return _json({"kind": "Status", "code": code, "message": message}, code)


@asynccontextmanager
async def kube_api(folder: Path) -> AsyncIterator[KubeApi]:
    """A server, until the block is left."""
    api = KubeApi(folder)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    context: ssl.SSLContext = api._ca.context("127.0.0.1")
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    host, port = runner.addresses[0][:2]
    api.url = f"https://{host}:{port}"
    try:
        yield api
    finally:
        api.end_watches()
        assert runner.server is not None
        for connection in runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()  # or what the other side holds open would outlive the loop
        await runner.cleanup()
        for _ in range(5):
            await asyncio.sleep(0)
