"""A webhook over real TLS, and the API server's side of it."""

import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from proxy.injector.certs import Certificates
from proxy.injector.connections import MAX_CONNECTIONS
from proxy.injector.counts import Counts
from proxy.injector.patch import Plan
from proxy.injector.webhook import Webhook
from tests.injector.pods import plan, pod
from tests.support.x509 import TestCa

NAME = "skinflint-injector.skinflint.svc"


@dataclass
class Running:
    """A webhook, and what it was given."""

    webhook: Webhook
    certificates: Certificates
    address: str
    client: aiohttp.ClientSession
    trust: ssl.SSLContext
    ca: TestCa
    counts: Counts = field(default_factory=Counts)

    async def ask(self, method: str, path: str, **options: object) -> tuple[int, str]:
        """A request, by the service's name."""
        url = f"https://{self.address}{path}"
        options = {"ssl": self.trust, "server_hostname": NAME, **options}
        async with self.client.request(method, url, **options) as answer:  # type: ignore[arg-type]
            return answer.status, await answer.text()

    async def review(self, request: dict[str, object]) -> dict:
        """A review's response."""
        status, text = await self.ask("POST", "/mutate", json=review(request))
        assert status == 200, text
        told: dict = json.loads(text)
        assert (told["apiVersion"], told["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        response: dict = told["response"]
        assert response["uid"] == "u-1"
        return response


def review(request: dict[str, object]) -> dict[str, object]:
    """A review of a pod, with whatever is otherwise in this one."""
    whole = {
        "uid": "u-1",
        "operation": "CREATE",
        "namespace": "shop",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "object": pod(),
        **request,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": whole}


def operations(response: dict) -> list[dict]:
    """The patch of a response."""
    assert response["patchType"] == "JSONPatch"
    decoded: list[dict] = json.loads(base64.b64decode(response["patch"]))
    return decoded


def install(ca: TestCa, folder: Path, name: str = NAME) -> None:
    """Put a new pair where the webhook looks: both swap at once, as a Secret's files do."""
    pem = ca.server(name).read_bytes()
    begin = pem.index(b"-----BEGIN CERTIFICATE")
    version = folder / f"version-{len(list(folder.glob('version-*')))}"
    version.mkdir()
    (version / "tls.key").write_bytes(pem[:begin])
    (version / "tls.crt").write_bytes(pem[begin:])
    link = folder / "next"
    link.symlink_to(version)
    link.replace(folder / "data")


@contextlib.asynccontextmanager
async def running(
    tmp_path: Path, made: Plan | None = None, most_connections: int = MAX_CONNECTIONS
) -> AsyncIterator[Running]:
    """A webhook on a free port, whose CA is all that the client trusts."""
    ca = TestCa(tmp_path)
    install(ca, tmp_path)
    certificates = Certificates(tmp_path / "data/tls.crt", tmp_path / "data/tls.key")
    counts = Counts()
    webhook = Webhook(certificates, made or plan(), counts, most_connections)
    address = await webhook.start("127.0.0.1:0")
    trust = ssl.create_default_context(cafile=str(ca.root))
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as client:
            yield Running(webhook, certificates, address, client, trust, ca, counts)
    finally:
        await webhook.stop()
