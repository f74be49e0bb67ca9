"""Who has which address: from the API's objects alone, and by watching a server that has its troubles."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from config.gateway import KubernetesSources
from proxy.exchange.tenant import Tenant
from proxy.kubernetes.api import ApiError, Place
from proxy.kubernetes.pod_table import PodTable
from proxy.kubernetes.pods import PodWatch
from tests.support.clock import Clock
from tests.support.kube_api import KubeApi, kube_api, pod
from tests.support.waiting import until


def table(**settings: object) -> PodTable:
    return PodTable(KubernetesSources.model_validate({"enabled": True, **settings}))


def name_of(tenant: Tenant | None) -> str | None:
    return None if tenant is None else tenant.name


# -- objects


def test_a_pods_namespace_is_its_tenant() -> None:
    known = table(labels={"team": "example.com/team"})
    known.put(pod("web-1", "10.0.0.1", owner="StatefulSet/web", labels={"example.com/team": "red", "x": "y"}))
    found = known.tenant("10.0.0.1")
    assert found is not None
    assert found.labels == {
        "tenant": "search",
        "namespace": "search",
        "pod": "web-1",
        "workload": "StatefulSet/web",
        "team": "red",
    }


def test_a_namespace_may_belong_to_another_tenant_or_to_none() -> None:
    known = table(tenants={"search": "team-a"}, namespaces=["sea*"])
    known.put(pod("web-1", "10.0.0.1"))
    known.put(pod("web-2", "10.0.0.2", "other"))
    assert [name_of(known.tenant(address)) for address in ("10.0.0.1", "10.0.0.2")] == ["team-a", None]


@pytest.mark.parametrize(
    "one",
    [
        pod("a", "10.0.0.1", host_network=True),
        pod("a", "10.0.0.1", phase="Succeeded"),
        pod("a", "10.0.0.1", phase="Failed"),
        pod("a", ""),
        {"metadata": [], "status": {}},
        {"metadata": {"name": 3}},
    ],
    ids=["host network", "succeeded", "failed", "no address", "malformed", "no text"],
)
def test_pods_that_nobody_can_come_from(one: dict[str, object]) -> None:
    known = table()
    known.put(one)  # type: ignore[arg-type]
    assert (known.tenant("10.0.0.1"), len(known)) == (None, 0)


def test_both_families_are_known() -> None:
    one = pod("a", "10.0.0.1")
    one["status"] = {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}
    known = table()
    known.put(one)
    assert name_of(known.tenant("fd00::1")) == "search"


def test_an_address_belongs_to_the_younger_pod_whatever_comes_first() -> None:
    old = pod("old", "10.0.0.1", "one", created="2026-01-01T00:00:00Z")
    new = pod("new", "10.0.0.1", "two", created="2026-01-02T00:00:00Z")
    for order in ([old, new], [new, old]):
        known = table()
        for each in order:
            known.put(each)
        assert name_of(known.tenant("10.0.0.1")) == "two"
        known.remove(old)
        assert name_of(known.tenant("10.0.0.1")) == "two"
        known.remove(new)
        assert known.tenant("10.0.0.1") is None


def test_a_younger_pod_of_a_namespace_that_nobody_may_come_from_takes_an_address_away() -> None:
    known = table(namespaces=["search"])
    known.put(pod("old", "10.0.0.1", created="2026-01-01T00:00:00Z"))
    known.put(pod("older", "10.0.0.1", "other", created="2025-01-01T00:00:00Z"))
    assert name_of(known.tenant("10.0.0.1")) == "search"
    known.put(pod("new", "10.0.0.1", "other", created="2026-01-02T00:00:00Z"))
    assert known.tenant("10.0.0.1") is None


def test_a_pod_that_ends_gives_its_address_up() -> None:
    known = table()
    known.put(pod("a", "10.0.0.1"))
    known.put(pod("a", "10.0.0.1", phase="Succeeded"))
    assert known.tenant("10.0.0.1") is None


def test_no_more_pods_are_kept_than_the_limit_allows() -> None:
    known = table(max_pods=2)
    for number in range(5):
        known.put(pod(f"p{number}", f"10.0.0.{number}"))
    assert (len(known), known.left_out) == (2, 3)


# -- the API


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[KubeApi]:
    async with kube_api(tmp_path) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def watch(api: KubeApi, clock: Clock) -> AsyncIterator[PodWatch]:
    settings = KubernetesSources(enabled=True, node="node-1", wait_s=5.0)
    place = Place(api.url, api.account / "token", api.account / "ca.crt")
    made = PodWatch(settings, place, clock)
    yield made
    await made.stop()


async def begun(watch: PodWatch, api: KubeApi) -> None:
    watch.begin()
    assert await watch.known(10)
    await until(lambda: api.watches == 1, "it watches")


async def test_the_list_comes_in_pages_and_is_followed_by_a_watch(api: KubeApi, watch: PodWatch) -> None:
    for number in range(5):
        api.put(pod(f"p{number}", f"10.0.0.{number}"))
    await begun(watch, api)
    assert len(watch) == 5
    lists = [query for _, _, query in api.asked if "watch" not in query]
    assert [query.get("continue") for query in lists] == [None, "2", "4"]
    fields = "status.phase!=Succeeded,status.phase!=Failed,spec.nodeName=node-1"
    assert {query["fieldSelector"] for _, _, query in api.asked} == {fields}
    (watched,) = [query for _, _, query in api.asked if "watch" in query]
    assert (watched["resourceVersion"], watched["allowWatchBookmarks"]) == ("105", "true")


async def test_pods_come_and_go(api: KubeApi, watch: PodWatch) -> None:
    await begun(watch, api)
    api.put(pod("a", "10.0.0.1"))
    await until(lambda: watch.tenant("10.0.0.1") is not None, "it is known")
    api.put(pod("a", "10.0.0.9"))
    await until(lambda: watch.tenant("10.0.0.9") is not None, "its new address is known")
    assert watch.tenant("10.0.0.1") is None
    api.remove("a")
    await until(lambda: watch.tenant("10.0.0.9") is None, "it is gone")


async def test_a_watch_that_ends_goes_on_where_it_was(api: KubeApi, watch: PodWatch) -> None:
    await begun(watch, api)
    api.put(pod("a", "10.0.0.1"))
    api.bookmark()
    await until(lambda: watch.tenant("10.0.0.1") is not None, "it is known")
    await until(lambda: watch._table is not None, "the bookmark came")
    api.end_watches()
    await until(lambda: len([1 for _, _, query in api.asked if "watch" in query]) == 2, "it watches again")
    last = api.asked[-1][2]
    assert int(last["resourceVersion"]) >= 101
    assert len([1 for _, _, query in api.asked if "watch" not in query]) == 1


@pytest.mark.parametrize("kind", ["event", "status"])
async def test_after_410_the_list_is_read_again(api: KubeApi, watch: PodWatch, kind: str) -> None:
    await begun(watch, api)
    api.pods["uid-b"] = pod("b", "10.0.0.2")  # unnoticed by the watch
    if kind == "event":
        api.end_watches(error=410)
    else:
        api.is_gone = True
        api.end_watches()
        await until(lambda: len(api.asked) > 3, "it was told")
        api.is_gone = False
    await until(lambda: watch.tenant("10.0.0.2") is not None, "the list was read again")


async def test_an_outage_is_said_once_and_what_is_known_stays_for_a_while(
    api: KubeApi, watch: PodWatch, clock: Clock
) -> None:
    api.put(pod("a", "10.0.0.1"))
    await begun(watch, api)
    with capture_logs() as logs:
        api.fails = True
        api.end_watches()
        tried = len(api.asked)
        await until(lambda: len(api.asked) >= tried + 3, "it tries again")
        assert name_of(watch.tenant("10.0.0.1")) == "search"
        clock.now += 601
        assert watch.tenant("10.0.0.1") is None
        assert watch.age_s is not None
        assert watch.age_s > 600
        api.fails = False
        await until(lambda: watch.tenant("10.0.0.1") is not None, "it is known again")
    assert [entry["log_level"] for entry in logs if entry["event"] == "pods_unknown"].count("warning") == 1
    assert "first" not in str(logs)


async def test_a_renewed_token_is_used(api: KubeApi, watch: PodWatch) -> None:
    await begun(watch, api)
    api.renew("second")
    api.put(pod("a", "10.0.0.1"))
    api.end_watches()
    await until(lambda: api.watches == 1, "it watches with the new token")
    api.put(pod("b", "10.0.0.2"))
    await until(lambda: watch.tenant("10.0.0.2") is not None, "news come")


async def test_an_address_is_waited_for(api: KubeApi, watch: PodWatch) -> None:
    await begun(watch, api)
    waiting = asyncio.gather(*(watch.wait_for("10.0.0.7") for _ in range(3)))
    await asyncio.sleep(0)
    api.put(pod("late", "10.0.0.7"))
    await asyncio.wait_for(waiting, 4)
    assert name_of(watch.tenant("10.0.0.7")) == "search"
    assert watch._waiting == {}


async def test_an_address_that_does_not_come_is_waited_for_so_long(api: KubeApi, clock: Clock) -> None:
    place = Place(api.url, api.account / "token", api.account / "ca.crt")
    watch = PodWatch(KubernetesSources(enabled=True, wait_s=0.05), place, clock)
    await begun(watch, api)
    await watch.wait_for("10.0.0.7")
    assert (watch.tenant("10.0.0.7"), watch._waiting) == (None, {})
    await watch.stop()


async def test_an_api_that_is_not_there_leaves_everybody_unknown(tmp_path: Path, clock: Clock, api: KubeApi) -> None:
    watch = PodWatch(KubernetesSources(enabled=True), Place("https://127.0.0.1:1", tmp_path, tmp_path), clock)
    watch.begin()
    assert not await watch.known(0.05)
    assert (watch.tenant("10.0.0.1"), watch.age_s) == (None, None)
    await watch.stop()


def test_where_the_api_is(tmp_path: Path) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    assert Place.of(None, tmp_path, tmp_path, environ).url == "https://[fd00::1]:6443"
    assert Place.of("https://api.test/", tmp_path, tmp_path, {}).url == "https://api.test"
    with pytest.raises(ApiError, match="no pod"):
        Place.of(None, tmp_path, tmp_path, {})
