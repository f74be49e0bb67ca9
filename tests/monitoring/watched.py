"""What is watched: a real proxy and a real injector, and calls of every kind that metrics tell apart."""

import asyncio
import contextlib
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from proxy.demo.certificates import Certificates
from tests.conftest import towards
from tests.e2e.calls import EMBEDDINGS, ask, chat
from tests.injector.pods import pod
from tests.injector.serving import review
from tests.support.background import Providers
from tests.support.kube_api import KubeApi
from tests.support.origins import echo, origin
from tests.support.processes import RunningProcess, free_port, module, running, wait_until
from tests.support.raw_client import RawClient, connect, secure, tunnel
from tests.support.running import RunningProxy, merged, running_proxy
from tests.support.x509 import TestCa

# A sidecar may say what it likes of itself: the PodMonitor decides what of it is believed.
LABELS = {
    "namespace": "made-up",
    "pod": "made-up",
    "node": "node-1",
    "workload": "Deployment/web",
    "team": "search",
    "tenant": "acme",
}


@contextlib.contextmanager
def proxy(directory: Path, provider: Providers, authority: Certificates) -> Iterator[RunningProxy]:
    """A proxy of two workers, with labels as the injector sets them."""
    settings = {
        "workers": 2,
        "attribution": {"labels": LABELS, "call_metric_labels": ["app"]},
        "upstream": {"retries": 0},
        "limits": {"client_head_s": 5},
    }
    with running_proxy(directory, merged(towards(provider, authority), settings)) as running_it:
        yield running_it


@contextlib.contextmanager
def gateway(directory: Path, provider: Providers, authority: Certificates, api: KubeApi) -> Iterator[RunningProxy]:
    """A proxy for many, on loopback, that knows its clients by their pods, and whose Redis is away."""
    account = {"token_file": str(api.account / "token"), "ca_file": str(api.account / "ca.crt")}
    settings = {
        "cache": {"redis": {"url": f"redis://127.0.0.1:{free_port()}"}},
        "profile": "gateway",
        "access": {"kubernetes": {"enabled": True, "api": api.url, **account}},
        "attribution": {"call_metric_labels": ["tenant", "namespace", "workload"]},
        "destinations": {"exceptions": ["127.0.0.0/8"]},  # where the providers are simulated
    }
    with running_proxy(directory, merged(towards(provider, authority), settings)) as running_it:
        yield running_it


async def call_through(gateway: RunningProxy) -> None:
    """A call, and a destination that is refused."""
    for _ in range(2):
        await ask(gateway, chat("of a tenant"))
    async with await connect(gateway.port()) as client:
        client.send(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
        await client.read()


async def call(proxy: RunningProxy, authority: Certificates) -> None:
    """Calls of every kind: hits, misses, collapsed ones, errors, tunnels, pins, and what is no HTTP at all."""
    field = ("x-skinflint-label-app", "shop")
    for _ in range(3):
        await ask(proxy, chat("a question"), field)
    await asyncio.gather(
        *(ask(proxy, chat("asked together"), ("x-sim-faults", '{"latency_s": 0.5}')) for _ in range(2))
    )
    await ask(proxy, chat("sampled", temperature=1))
    await ask(proxy, chat("without a price", model="nobody-knows-1"))
    await ask(proxy, orjson.dumps({"model": "text-embedding-3-small", "input": "words"}), path=EMBEDDINGS)
    for faults in ({"status": 500}, {"status": 429}, {"failure": "close"}):
        await ask(proxy, chat(f"fails: {faults}"), ("x-sim-faults", json.dumps(faults)))
    async with await connect(proxy.port()) as client:
        client.send(b"no HTTP at all\r\n\r\n")
        await client.read()
    other_kind = ssl.create_default_context(cafile=str(authority.ca))
    other_kind.maximum_version = ssl.TLSVersion.TLSv1_2
    with contextlib.suppress(ssl.SSLError):
        await secure(proxy.port(), other_kind)


@contextlib.asynccontextmanager
async def open_tunnel(proxy: RunningProxy) -> "contextlib.AbstractAsyncContextManager[RawClient]":
    """A tunnel to an origin that is no provider, until the block is left."""
    async with origin(echo) as port, await tunnel(proxy.port(), f"127.0.0.1:{port}") as client:
        client.send(b"anything")
        await client.read()
        yield client


@dataclass(frozen=True, slots=True)
class Injector:
    """One that runs."""

    process: RunningProcess
    name: str
    address: str
    ca: Path

    def review(self, document: object) -> None:
        """Send a review, whatever becomes of it."""
        body = document if isinstance(document, bytes) else orjson.dumps(document)
        with contextlib.suppress(urllib.error.HTTPError):
            self._ask("/mutate", body)

    def metrics(self) -> str:
        """What it exposes."""
        return self._ask("/metrics")

    def _ask(self, path: str, body: bytes | None = None) -> str:
        context = ssl.create_default_context(cafile=str(self.ca))
        request = urllib.request.Request(f"https://{self.address}{path}", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:
            text: str = answer.read().decode()
        return text


@contextlib.contextmanager
def injector(directory: Path, name: str) -> Iterator[Injector]:
    """`skinflint injector` with a certificate for this name and for loopback."""
    directory.mkdir()
    ca = TestCa(directory)
    pair = str(ca.server(name, "127.0.0.1"))
    settings = directory / "injector.yaml"
    settings.write_text("image: skinflint:1\n")
    command = module("proxy", "injector", "--cert", pair, "--key", pair, "--config", str(settings))
    with running([*command, "--listen", "127.0.0.1:0", "--linger", "0"], directory) as process:
        wait_until(lambda: "is ready at" in process.output, "the injector is ready", process=process)
        address = process.output.partition("is ready at https://")[2].partition("/mutate")[0]
        made = Injector(process, name, address, ca.root)
        settings.write_text("mode: sideways\n")
        wait_until(lambda: 'outcome="refused",what="settings"' in made.metrics(), "it was refused", process=process)
        yield made


def admit(injector: Injector) -> None:
    """One pod that is injected, one that cannot be, and what is no review."""
    injector.review(review({}))
    injector.review(review({"object": pod(hostNetwork=True)}))
    injector.review(b"[]")
