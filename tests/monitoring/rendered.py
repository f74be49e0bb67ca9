"""What the chart renders for Prometheus and Grafana."""

import tempfile
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from pathlib import Path

from tests.chart.helm import Helm, Object, Rendered

KINDS = ("podMonitor", "serviceMonitor", "prometheusRule", "dashboards")

type Monitoring = Mapping[str, Mapping[str, object]]


def rendered(helm: Helm, monitoring: Monitoring | None = None, **more: object) -> Rendered:
    """A release with everything of `monitoring` enabled, with these values of it; `more`: values besides."""
    given = {kind: {"enabled": True, **(monitoring or {}).get(kind, {})} for kind in KINDS}
    return helm.render({"gateway": {"enabled": True}, "monitoring": given, **more})


def rules(helm: Helm, **thresholds: object) -> Object:
    """The groups of rules, as a file of Prometheus's has them; every alert is among them."""
    values = {"prometheusRule": {"thresholds": {"spendPerHourUsd": 100, **thresholds}}}
    spec: Object = rendered(helm, values).one("PrometheusRule")["spec"]
    return spec


@cache
def everything() -> Rendered:
    """The same with every alert, for tests that are made of it: before any fixture is."""
    with tempfile.TemporaryDirectory() as home, closing(Helm(Path(home))) as helm:
        return rendered(helm, {"prometheusRule": {"thresholds": {"spendPerHourUsd": 100}}})


def one(kind: str, name: str | None = None) -> Object:
    """The only object of its kind, or of its kind and name, in it."""
    return everything().one(kind, name)


def groups() -> list[Object]:
    """The groups of its rules."""
    found: list[Object] = one("PrometheusRule")["spec"]["groups"]
    return found


def all_rules() -> list[Object]:
    """All its rules."""
    return [rule for group in groups() for rule in group["rules"]]
