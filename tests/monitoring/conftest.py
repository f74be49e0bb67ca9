"""What is watched, and who watches, once for all tests."""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.demo.certificates import Certificates
from tests.chart.helm import NAMESPACE, RELEASE, Helm
from tests.monitoring import watched
from tests.monitoring.prometheus import Prometheus, prometheus
from tests.support.background import LoopThread, providers
from tests.support.kube_api import kube_api, pod
from tests.support.processes import wait_until

NAME = f"{RELEASE}-injector.{NAMESPACE}.svc"
LAST = 'skinflint_client_connections_total{kind="rejected"}'  # counts what is called last


@dataclass(frozen=True, slots=True)
class Seen:
    """What was exposed after all calls, and a Prometheus that has scraped it twice."""

    exposed: Mapping[str, frozenset[str]]  # the labels of each metric, by the names that queries use
    prometheus: Prometheus


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helm]:
    """Renders the chart."""
    made = Helm(tmp_path_factory.mktemp("helm"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def seen(authority: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Everything runs until the session's end."""
    place = tmp_path_factory.mktemp("watched")
    with contextlib.ExitStack() as stack:
        clients = LoopThread("clients")
        stack.callback(clients.close)

        def entered[T](context: AbstractAsyncContextManager[T]) -> T:
            stack.callback(lambda: clients.run(context.__aexit__(None, None, None)))
            return clients.run(context.__aenter__())

        provider = stack.enter_context(providers(authority))
        api = entered(kube_api(place / "api"))
        api.put(pod("web-1", "127.0.0.1", "shop", owner="StatefulSet/web"))
        proxy = stack.enter_context(watched.proxy(place / "proxy", provider, authority))
        gateway = stack.enter_context(watched.gateway(place / "gateway", provider, authority, api))
        injector = stack.enter_context(watched.injector(place / "injector", NAME))
        server = stack.enter_context(prometheus(place / "prometheus", proxy, gateway, injector))
        entered(watched.open_tunnel(proxy))
        clients.run(watched.call_through(gateway))
        clients.run(watched.call(proxy, authority), deadline_s=60)
        watched.admit(injector)
        texts = (proxy.admin("/metrics")[1], gateway.admin("/metrics")[1], injector.metrics())
        wait_until(lambda: bool(server.query(f"count_over_time({LAST}[1m]) >= 3")), "it was scraped after all calls")
        yield Seen(exposed(*texts), server)


def exposed(*texts: str) -> dict[str, frozenset[str]]:
    """What is in these expositions. A metric without samples has no labels that could be known."""
    found: dict[str, set[str]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            suffix = "_total" if family.type == "counter" and not family.name.endswith("_total") else ""
            found.setdefault(family.name + suffix, set())
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return {name: frozenset(labels) for name, labels in found.items()}
