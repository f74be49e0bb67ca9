"""pyreqwest answers a cancelled wait with the piece that had come meanwhile; ours must not take that for permission."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from config.schema import Upstream
from proxy.exchange.model import Body, Request
from proxy.upstream.pool import Pool
from proxy.upstream.resolver import Resolver
from tests.support.simulator import SimulatorProcess

ROUNDS = 10
REQUEST = Request(
    "POST", "https", "api.openai.com", 443, "/v1/chat/completions",
    [(b"content-type", b"application/json"), (b"authorization", b"Bearer test")],
    b'{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"hi"}]}',
)  # fmt: skip


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[SimulatorProcess]:
    """In a process of its own: it goes on sending while our loop stands still."""
    with SimulatorProcess(tmp_path, ["--latency-ms", "0", "--events", "1000", "--interval-ms", "10"]) as running:
        yield running


@pytest.fixture
async def pool(provider: SimulatorProcess) -> AsyncIterator[Pool]:
    settings = Upstream(resolve={"api.openai.com": provider.address}, extra_ca=(provider.ca,))
    made = Pool(settings, Resolver(settings.resolve, ignore_hosts_file=False))
    made.start()
    yield made
    await made.close()


async def read_on(body: Body) -> None:
    while await body.read() is not None:
        pass


async def test_a_cancelled_read_ends_even_when_a_piece_had_come(pool: Pool) -> None:
    for _ in range(ROUNDS):
        response = await pool.send(REQUEST, buffered=False)
        assert not isinstance(response.body, bytes)
        reading = asyncio.ensure_future(read_on(response.body))
        await asyncio.sleep(0.03)
        time.sleep(0.05)  # the loop stands still while pieces come: what a busy proxy does
        reading.cancel()
        done, _ = await asyncio.wait([reading], timeout=2.0)
        assert done
        assert reading.cancelled()
        await response.body.aclose()
