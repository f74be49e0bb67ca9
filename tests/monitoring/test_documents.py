"""Metrics and queries that the documents show, asked of the same Prometheus."""

import re

import pytest
import yaml

from tests.chart.helm import CHART, Helm
from tests.docs.markdown import blocks, document
from tests.monitoring.conftest import Seen
from tests.monitoring.prometheus import needs_prometheus
from tests.monitoring.promql import spoken_of
from tests.monitoring.test_queries import OTHERS, UNSEEN

pytestmark = needs_prometheus()

VALUES = [yaml.safe_load(block.text) for block in blocks("kubernetes.md", "yaml")]
TRIGGERS = [each for values in VALUES for each in values.get("gateway", {}).get("keda", {}).get("triggers", [])]


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda each: each["metadata"]["query"])
def test_a_trigger_of_keda_is_one_number(seen: Seen, trigger: dict) -> None:
    (found,) = seen.prometheus.query(trigger["metadata"]["query"])
    assert found["metric"] == {}


def test_the_adapters_rule_finds_each_replica_under_the_charts_name(seen: Seen, helm: Helm) -> None:
    (block,) = blocks("kubernetes.md", "yaml adapter")
    (rule,) = yaml.safe_load(block.text)["rules"]["custom"]
    (metric,) = spoken_of(rule["seriesQuery"]).metrics
    assert seen.prometheus.query(rule["seriesQuery"])
    assert re.fullmatch(rule["name"]["matches"], metric)
    assert rule["name"]["as"] == helm.default_values()["gateway"]["autoscaling"]["requestMetric"]["name"]
    asked = rule["metricsQuery"].replace("<<.Series>>", metric).replace("<<.GroupBy>>", "pod")
    asked = asked.replace("<<.LabelMatchers>>", 'namespace="llm-system",pod=~"skinflint-gateway-1"')
    (found,) = seen.prometheus.query(asked)
    assert found["metric"] == {"pod": "skinflint-gateway-1"}


@pytest.mark.parametrize("name", ["kubernetes.md", "runbooks.md"])
def test_metrics_that_are_named_exist(seen: Seen, name: str) -> None:
    named = set(re.findall(r"\bskinflint_[a-z_]*[a-z]\b", document(name)))
    known = {re.sub(r"_(bucket|count|sum)$", "", each) for each in seen.exposed} | seen.exposed.keys() | UNSEEN.keys()
    assert named - known - OTHERS - {"skinflint_requests_per_second"} == set()


def test_the_charts_readme_leads_to_the_documents() -> None:
    assert "docs/kubernetes.md" in (CHART / "README.md").read_text("utf-8")
