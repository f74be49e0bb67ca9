"""Pools that reach simulated providers, and are closed when the test ends."""

from collections.abc import AsyncIterator, Callable

import pytest

from config.schema import Upstream
from proxy.demo.certificates import Certificates
from proxy.demo.simulator import Simulator
from proxy.upstream.pool import Pool
from proxy.upstream.resolver import Resolver
from tests.support.simulator import provider_certificates

__all__ = ["provider_certificates"]

HOSTS = ("api.openai.com", "api.anthropic.com", "api.mistral.ai")

type MakePool = Callable[..., Pool]


@pytest.fixture
async def make_pool(provider_certificates: Certificates) -> AsyncIterator[MakePool]:
    """`make_pool(simulator, idle_timeout_s=1)`: trusts the simulator and finds the providers' hosts there."""
    pools: list[Pool] = []

    def make(simulator: Simulator | None = None, **more: object) -> Pool:
        resolve = dict(simulator.addresses(*HOSTS)) if simulator is not None else {}
        settings = Upstream.model_validate({"resolve": resolve, "extra_ca": (provider_certificates.ca,), **more})
        pool = Pool(settings, Resolver(settings.resolve, ignore_hosts_file=False))
        pool.start()
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        await pool.close()
