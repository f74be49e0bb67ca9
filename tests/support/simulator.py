"""Fixtures around the provider simulator; a conftest.py imports those that its tests want.

`simulator` speaks TLS and offers HTTP/2, `plain_simulator` speaks HTTP/1.1 without TLS (and HTTP/2 by its preface),
`simulator_process` is one of its own. All answer at once: no latency, no intervals.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from proxy.demo.certificates import Certificates, make_certificates
from proxy.demo.faults import Options
from proxy.demo.process import SimulatorProcess
from proxy.demo.simulator import Simulator

OPENAI = "/@api.openai.com/v1"
KEY = {"authorization": "Bearer fake"}
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}


@pytest.fixture(scope="session")
def provider_certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A throw-away CA and a certificate for all providers' names."""
    return make_certificates(tmp_path_factory.mktemp("providers"))


@pytest.fixture
async def simulator(provider_certificates: Certificates) -> AsyncIterator[Simulator]:
    """With TLS."""
    async with Simulator(provider_certificates, Options(events=8)) as running:
        yield running


@pytest.fixture
async def plain_simulator() -> AsyncIterator[Simulator]:
    """Without TLS."""
    async with Simulator(None, Options(events=8)) as running:
        yield running


@pytest.fixture
def simulator_process(tmp_path: Path) -> Iterator[SimulatorProcess]:
    """As a process of its own, with TLS."""
    with SimulatorProcess(tmp_path / "providers") as running:
        yield running


type MakeClient = Callable[..., httpx2.AsyncClient]


@pytest.fixture
async def make_client(provider_certificates: Certificates) -> AsyncIterator[MakeClient]:
    """Makes HTTP clients that trust the throw-away CA: `make_client(simulator, http2=True)`. All are closed."""
    closing: list[Callable[[], Awaitable[None]]] = []

    def make(simulator: Simulator, *, http2: bool = False) -> httpx2.AsyncClient:
        trust = ssl.create_default_context(cafile=str(provider_certificates.ca))
        client = httpx2.AsyncClient(
            base_url=simulator.url, verify=trust, http2=http2, headers=KEY, trust_env=False, timeout=20
        )
        closing.append(client.aclose)
        return client

    yield make
    for close in closing:
        await close()
