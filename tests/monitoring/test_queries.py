"""Every query of the dashboards and of the rules speaks of what a real proxy and a real injector expose."""

from pathlib import Path

import pytest

from tests.chart.helm import NAMESPACE
from tests.monitoring.conftest import Seen
from tests.monitoring.dashboards import DASHBOARDS, Query, filled, queries, variables
from tests.monitoring.prometheus import needs_prometheus
from tests.monitoring.promql import spoken_of
from tests.monitoring.rendered import all_rules

pytestmark = needs_prometheus()

# Not ours: what Kubernetes and Prometheus say, and what scrapes add to all of it.
OTHERS = {
    "up",
    "container_memory_working_set_bytes",
    "container_spec_memory_limit_bytes",
    "kube_pod_container_resource_limits",
}
TARGETS = {"job", "instance", "namespace", "pod", "container", "workload", "resource"}
# No stage fails unless it is at fault.
UNSEEN = {"skinflint_stage_failures_total": {"stage"}}

RULES = all_rules()
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
OF_RULES = [Query(rule.get("alert") or rule["record"], rule["expr"]) for rule in RULES]
SHOWN = [query for query in queries() if not spoken_of(query.expression).metrics & UNSEEN.keys()]
CHOICES = [(path, each["name"]) for path in DASHBOARDS for each in variables(path) if each["type"] == "query"]


@pytest.mark.parametrize("query", [*queries(), *OF_RULES], ids=str)
def test_what_it_names_exists(seen: Seen, query: Query) -> None:
    spoken = spoken_of(query.expression)
    assert spoken.metrics
    lacking = {name for name in spoken.metrics if name not in seen.exposed} - OTHERS - RECORDED
    assert lacking == set()
    known = {label for name in spoken.metrics & seen.exposed.keys() for label in seen.exposed[name]}
    known |= {label for name in spoken.metrics for label in UNSEEN.get(name, ())}
    assert spoken.labels - known <= TARGETS


@pytest.mark.parametrize("query", SHOWN, ids=str)
def test_every_panel_shows_something(seen: Seen, query: Query) -> None:
    assert seen.prometheus.query(query.expression) != []


@pytest.mark.parametrize("query", OF_RULES, ids=str)
def test_every_rule_can_be_evaluated(seen: Seen, query: Query) -> None:
    assert isinstance(seen.prometheus.query(query.expression), list)


def test_prometheus_has_no_complaint_about_the_rules(seen: Seen) -> None:
    groups = seen.prometheus.get("rules")["groups"]
    assert groups
    assert {
        rule["name"]: rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")
    } == {}


@pytest.mark.parametrize(("path", "name"), CHOICES, ids=lambda each: str(getattr(each, "stem", each)))
def test_every_variable_has_something_to_choose(seen: Seen, path: Path, name: str) -> None:
    (variable,) = [each for each in variables(path) if each["name"] == name]
    asked = filled(variable["query"]["query"]).removeprefix("label_values(").removesuffix(")")
    metric, _, label = asked.rpartition(", ")
    assert any(label in found["metric"] for found in seen.prometheus.query(metric))


def test_namespace_and_pod_are_what_kubernetes_says_and_the_rest_is_the_sidecars_word(seen: Seen) -> None:
    (build,) = seen.prometheus.query('skinflint_build_info{container="skinflint"}')
    labels = build["metric"]
    assert (labels["namespace"], labels["pod"], labels["workload"]) == ("shop", "web-1", "Deployment/web")
    assert not [name for name in labels if name.startswith("exported_")]


def test_calls_of_a_gateway_are_their_clients_and_its_own_state_is_its_own(seen: Seen) -> None:
    gateway = 'job="skinflint-gateway-metrics"'
    (calls,) = seen.prometheus.query(f"sum by (namespace, workload, tenant) (skinflint_requests_total{{{gateway}}})")
    assert calls["metric"] == {"namespace": "shop", "workload": "StatefulSet/web", "tenant": "shop"}
    (own,) = seen.prometheus.query(f"sum by (namespace, pod) (skinflint_request_seconds_count{{{gateway}}})")
    assert own["metric"] == {"namespace": NAMESPACE, "pod": "skinflint-gateway-1"}
