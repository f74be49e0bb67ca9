"""Gateways in a cluster: pods that are tenants, replicas on one Redis, an authority that all of them share."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from proxy.edge.ca import make
from proxy.edge.provided_ca import load_provided
from tests.conftest import MakeProxy
from tests.e2e.calls import CHAT, ask, chat, said
from tests.e2e.gateway_calls import HOST, Tenants, ask_as, connect_to, refused
from tests.support.background import Providers
from tests.support.kube_api import KubeApi, kube_api, pod
from tests.support.raw_client import connect
from tests.support.redis_servers import needs_redis, redis_server
from tests.support.running import RunningProxy
from tests.support.waiting import until

HERE = "127.0.0.1"
OTHERS = "api.anthropic.com"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[KubeApi]:
    async with kube_api(tmp_path / "kube") as running:
        yield running


def watching(api: KubeApi, **more: object) -> dict[str, object]:
    """Settings of a gateway that knows its clients by their pods alone."""
    account = {"token_file": str(api.account / "token"), "ca_file": str(api.account / "ca.crt")}
    sources = {"enabled": True, "api": api.url, "labels": {"team": "example.com/team"}, **account, **more}
    return {"profile": "gateway", "access": {"kubernetes": sources}}


async def made(make: MakeProxy, *arguments: object) -> RunningProxy:
    """The API is served by this very loop: it must turn while a proxy starts."""
    return await asyncio.to_thread(make, *arguments)


# -- pods


async def test_a_pods_calls_bear_its_namespace_and_labels(
    make_proxy: MakeProxy, provider: Providers, api: KubeApi, prompt: str
) -> None:
    api.put(pod("web-1", HERE, "search", labels={"example.com/team": "red"}, owner="StatefulSet/web"))
    proxy = await made(make_proxy, provider, watching(api))
    told = [said(await ask_as(proxy, prompt, None)) for _ in range(3)]
    rows = await asyncio.to_thread(proxy.settled, 3)
    assert told == ["miss", "hit", "hit"]
    assert [orjson.loads(str(row["labels"])) for row in rows] == [
        {"tenant": "search", "namespace": "search", "pod": "web-1", "workload": "StatefulSet/web", "team": "red"}
    ] * 3
    assert await asyncio.to_thread(proxy.metric, "skinflint_access_pods") == 1


async def test_another_pod_at_the_same_address_is_another_tenant(
    make_proxy: MakeProxy, provider: Providers, api: KubeApi, prompt: str
) -> None:
    api.put(pod("web-1", HERE, "search"))
    proxy = await made(make_proxy, provider, watching(api))
    assert said(await ask_as(proxy, prompt, None)) == "miss"
    api.put(pod("job-1", HERE, "billing", created="2026-02-01T00:00:00Z"))
    api.remove("web-1")

    async def is_told() -> bool:
        await ask_as(proxy, f"{prompt} again", None)
        rows = await asyncio.to_thread(proxy.rows)
        return any("billing" in str(row["labels"]) for row in rows)

    async with asyncio.timeout(20):
        while not await is_told():
            pass
    assert said(await ask_as(proxy, prompt, None)) == "miss"


async def test_a_pod_that_calls_before_the_api_tells_its_address_is_waited_for(
    make_proxy: MakeProxy, provider: Providers, api: KubeApi, prompt: str
) -> None:
    proxy = await made(make_proxy, provider, watching(api, wait_s=20))
    await until(lambda: api.watches == 1, "it watches")
    call = asyncio.ensure_future(ask_as(proxy, prompt, None))
    await asyncio.sleep(0.1)
    assert not call.done()
    api.put(pod("web-1", HERE, "search"))
    assert (await call).status == 200


async def test_strangers_are_refused_after_a_while(make_proxy: MakeProxy, provider: Providers, api: KubeApi) -> None:
    proxy = await made(make_proxy, provider, watching(api, wait_s=0.05))
    assert (await refused(proxy, f"{HOST}:443")).startswith(b"HTTP/1.1 403 ")


async def test_each_worker_watches(make_process: MakeProxy, provider: Providers, api: KubeApi, prompt: str) -> None:
    api.put(pod("web-1", HERE, "search"))
    proxy = await made(make_process, provider, {**watching(api, wait_s=0.05), "workers": 2})
    assert api.watches == 2
    assert {(await ask_as(proxy, f"{prompt} {number}", None)).status for number in range(8)} == {200}
    assert await asyncio.to_thread(proxy.metric, "skinflint_access_pods") == 1


# -- replicas


@needs_redis()
async def test_replicas_of_one_tenant_share_and_tenants_do_not(
    make_proxy: MakeProxy, provider: Providers, tmp_path: Path, prompt: str
) -> None:
    tenants = Tenants(tmp_path / "credentials", "team-a", "team-b")
    with redis_server(tmp_path / "redis") as redis:
        settings = {
            "profile": "gateway",
            "access": {"credentials": str(tenants.file)},
            "cache": {"redis": {"url": redis.url}, "disk": {"max_bytes": 0}},
        }
        one, other = (make_proxy(provider, settings) for _ in range(2))
        first = said(await ask_as(one, prompt, tenants.field("team-a")))

        def kept() -> int:
            found = redis.says("KEYS", "skinflint:e:*")
            assert isinstance(found, list)
            return len(found)

        await until(lambda: kept() >= 1, "the answer is in Redis")
        told = [said(await ask_as(other, prompt, tenants.field(name))) for name in ("team-a", "team-b")]
        await until(lambda: kept() >= 2, "the other tenant's answer is in Redis")
        back = said(await ask_as(one, prompt, tenants.field("team-b")))
    assert (first, told, back) == ("miss", ["hit", "miss"], "hit")
    assert provider.count(path=CHAT, host=HOST) == 2


def make_ends(folder: Path) -> float:
    """When the authority there ends."""
    return load_provided(folder, datetime.now(UTC)).intermediate.not_valid_after_utc.timestamp()


def shared_ca(folder: Path, *hosts: str, younger: timedelta = timedelta()) -> Path:
    """A directory as a Secret with our layout is mounted."""
    make(folder, hosts, datetime.now(UTC) + younger)
    (folder / "intermediate.key").chmod(0o440)
    return folder


async def test_replicas_share_an_authority_that_they_cannot_write_to(
    make_proxy: MakeProxy, provider: Providers, tmp_path: Path, prompt: str
) -> None:
    folder = shared_ca(tmp_path / "ca", HOST, "localhost")
    before = sorted(path.name for path in folder.iterdir())
    proxies = [make_proxy(provider, {"ca_dir": str(folder)}) for _ in range(2)]
    trust = ssl.create_default_context(cafile=str(folder / "skinflint-ca.pem"))
    for proxy in proxies:
        async with await connect(proxy.port()) as client:
            await connect_to(client, f"{HOST}:443")
            await client.start_tls(trust, HOST)
        assert proxy.runtime.ca.read_bytes() == (folder / "skinflint-ca.pem").read_bytes()
        assert not [path for path in proxy.data_dir.rglob("*") if path.is_file() and b"PRIVATE" in path.read_bytes()]
    assert sorted(path.name for path in folder.iterdir()) == before


async def test_hosts_that_it_cannot_speak_for_are_tunnelled(
    make_proxy: MakeProxy, provider: Providers, tmp_path: Path
) -> None:
    proxy = make_proxy(provider, {"ca_dir": str(shared_ca(tmp_path / "ca", HOST, "localhost"))})
    (event,) = proxy.logged("ca_lacks_hosts")
    assert OTHERS in orjson.dumps(event).decode()
    origins = ssl.create_default_context(cafile=_origins_ca(proxy))
    async with await connect(proxy.port()) as client:
        assert (await connect_to(client, f"{OTHERS}:443")).startswith(b"HTTP/1.1 200")
        await client.start_tls(origins, OTHERS)  # the origin's own certificate


def _origins_ca(proxy: RunningProxy) -> str:
    settings = orjson.loads(proxy.config.read_bytes())
    return str(settings["upstream"]["extra_ca"][0])


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_new_authority_is_taken_while_it_runs(
    make_process: MakeProxy, provider: Providers, tmp_path: Path, workers: int, prompt: str
) -> None:
    mount = tmp_path / "mount"
    mount.symlink_to(shared_ca(tmp_path / "one", HOST, "localhost"))
    proxy = make_process(provider, {"ca_dir": str(mount), "workers": workers})
    assert (await ask(proxy, chat(prompt))).status == 200
    fresh = shared_ca(tmp_path / "two", HOST, "localhost", younger=timedelta(hours=12))
    (tmp_path / "next").symlink_to(fresh)
    (tmp_path / "next").rename(mount)  # as the kubelet does
    proxy.logged("ca_taken_anew", workers)
    trust = ssl.create_default_context(cafile=str(fresh / "skinflint-ca.pem"))
    for _ in range(4):
        async with await connect(proxy.port()) as client:
            await connect_to(client, f"{HOST}:443")
            await client.start_tls(trust, HOST)
    await until(lambda: proxy.runtime.ca.read_bytes() == (fresh / "skinflint-ca.pem").read_bytes(), "it is public")
    ends = make_ends(fresh)
    await until(lambda: proxy.metric("skinflint_ca_expiry_timestamp_seconds") == ends, "its end is in the metrics")
    with contextlib.suppress(FileNotFoundError):
        (fresh / "intermediate.key").unlink()
    proxy.logged("ca_refused")
    assert (await ask(proxy, chat(f"{prompt} again"))).status == 200
