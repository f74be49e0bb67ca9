"""A stand-in for an API server that has a few objects, so that Helm's `lookup` finds what an earlier release made."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.chart.helm import Object

_SECRETS = {"name": "secrets", "singularName": "secret", "kind": "Secret", "namespaced": True, "verbs": ["get", "list"]}
_DISCOVERY: dict[str, Object] = {
    "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [_SECRETS]},
}


class ApiServer:
    """Answers discovery, and gets by path. `looked_up`: the paths of objects that were asked for."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.looked_up: list[str] = []
        self.kubeconfig = ""  # the way to it
        self.refuses_with: int | None = None  # a status for every look at an object

    def keep(self, *secrets: Object) -> None:
        """Secrets are in the cluster from now on."""
        for each in secrets:
            metadata = each["metadata"]
            self.objects[f"/api/v1/namespaces/{metadata['namespace']}/secrets/{metadata['name']}"] = each

    def answer(self, path: str) -> tuple[int, Object]:
        """The answer to a GET."""
        if path in _DISCOVERY:
            return 200, _DISCOVERY[path]
        self.looked_up.append(path)
        if self.refuses_with is not None:
            return self.refuses_with, _status(self.refuses_with, "Forbidden")
        found = self.objects.get(path)
        return (200, found) if found is not None else (404, _status(404, "NotFound"))


@contextlib.contextmanager
def cluster() -> Iterator[ApiServer]:
    """An API server on loopback."""
    server = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = server.answer(self.path.partition("?")[0])
            payload = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.kubeconfig = json.dumps(_kubeconfig(f"http://127.0.0.1:{http.server_address[1]}"))
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def _kubeconfig(url: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "users": [{"name": "test", "user": {}}],
    }


def _status(code: int, reason: str) -> Object:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
