"""The objects for Prometheus and Grafana: off unless asked for, and leading to what the chart makes."""

import json

import kubernetes_validate
import pytest

from tests.chart.helm import NAMESPACE, RELEASE, Helm, RefusedError
from tests.chart.matrix import PEM
from tests.injector.pods import patched, pod
from tests.monitoring.dashboards import DASHBOARDS, dashboard
from tests.monitoring.rendered import KINDS, rendered

FOREIGN = ("PodMonitor", "ServiceMonitor", "PrometheusRule")


def test_nothing_of_it_is_made_unless_it_is_asked_for(helm: Helm) -> None:
    made = helm.render({"gateway": {"enabled": True}})
    assert not [path for path in made.files if path.startswith("monitoring/")]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_can_be_asked_for_alone(helm: Helm, kind: str) -> None:
    made = helm.render({"monitoring": {kind: {"enabled": True}}})
    assert len([path for path in made.files if path.startswith("monitoring/")]) == 1


def test_what_is_rendered_has_no_noise(helm: Helm) -> None:
    for path, text in rendered(helm).files.items():
        if path.startswith("monitoring/"):
            lines = text.rstrip("\n").split("\n")
            assert not [line for line in lines if not line.strip() or line != line.rstrip()], path


def test_names_are_unique_short_and_in_the_releases_namespace(helm: Helm) -> None:
    objects = rendered(helm, fullnameOverride="a" * 63).objects
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)
    for each in objects:
        if each["kind"] in FOREIGN:
            assert each["metadata"]["namespace"] == NAMESPACE
        assert len(each["metadata"]["name"]) <= 63


def test_dashboards_are_the_files_and_found_by_label(helm: Helm) -> None:
    made = rendered(helm, {"dashboards": {"label": "find_me", "labelValue": "yes", "annotations": {"folder": "LLM"}}})
    found = [each for each in made.of("ConfigMap") if "find_me" in each["metadata"]["labels"]]
    assert {json.dumps(dashboard(path)) for path in DASHBOARDS} == {
        json.dumps(json.loads(text)) for each in found for text in each["data"].values()
    }
    for each in found:
        kubernetes_validate.validate(each, "1.37", strict=True)
        assert each["metadata"]["labels"]["find_me"] == "yes"
        assert each["metadata"]["annotations"] == {"folder": "LLM"}


def test_what_prometheus_selects_by_is_on_what_it_selects(helm: Helm) -> None:
    values = {kind: {"labels": {"release": "monitoring"}} for kind in KINDS}
    made = rendered(helm, values)
    for kind in FOREIGN:
        for each in made.of(kind):
            assert each["metadata"]["labels"]["release"] == "monitoring"
            assert each["metadata"]["labels"]["app.kubernetes.io/name"] == "skinflint"


def test_monitors_lead_to_services_and_ports_that_are_there(helm: Helm) -> None:
    made = rendered(helm)
    for monitor in made.of("ServiceMonitor"):
        labels = monitor["spec"]["selector"]["matchLabels"]
        (endpoint,) = monitor["spec"]["endpoints"]
        found = [
            service["metadata"]["name"]
            for service in made.of("Service")
            if labels.items() <= service["metadata"]["labels"].items()
            and endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
        ]
        assert len(found) == 1, "the job's name is the Service's"
        assert monitor["spec"]["namespaceSelector"] == {"matchNames": [NAMESPACE]}


def test_alerts_go_by_the_jobs_that_the_monitors_make(helm: Helm) -> None:
    made = rendered(helm)
    said = str(made.one("PrometheusRule"))
    pods = made.one("PodMonitor")["metadata"]
    assert f"{pods['namespace']}/{pods['name']}" in said
    for name in (f"{RELEASE}-gateway-metrics", f"{RELEASE}-injector"):
        assert made.one("Service", name)
        assert f'job="{name}"' in said


def test_sidecars_are_found_in_all_namespaces_or_in_some(helm: Helm) -> None:
    assert rendered(helm).one("PodMonitor")["spec"]["namespaceSelector"] == {"any": True}
    some = rendered(helm, {"podMonitor": {"namespaces": ["shop"], "selector": {"matchLabels": {"a": "b"}}}})
    assert some.one("PodMonitor")["spec"]["namespaceSelector"] == {"matchNames": ["shop"]}
    assert some.one("PodMonitor")["spec"]["selector"] == {"matchLabels": {"a": "b"}}


def test_the_sidecars_port_is_the_injectors(helm: Helm) -> None:
    (sidecar,) = [each for each in patched(pod())["spec"]["initContainers"] if each["name"] == "skinflint"]
    assert "skinflint-admin" in [port["name"] for port in sidecar["ports"]]
    assert rendered(helm).one("PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"] == "skinflint-admin"


@pytest.mark.parametrize(
    ("tls", "source"),
    [
        ({"mode": "helm"}, {"secret": {"name": f"{RELEASE}-webhook-tls", "key": "ca.crt"}}),
        ({"mode": "certManager"}, {"secret": {"name": f"{RELEASE}-webhook-tls", "key": "ca.crt"}}),
        (
            {"mode": "existing", "existing": {"secretName": "mine", "caBundle": PEM}},
            {"configMap": {"name": f"{RELEASE}-injector-webhook-ca", "key": "ca.crt"}},
        ),
    ],
)
def test_the_injector_is_scraped_with_the_webhooks_own_ca(helm: Helm, tls: dict, source: dict) -> None:
    made = rendered(helm, injector={"webhook": {"tls": tls}})
    monitor = made.one("ServiceMonitor", f"{RELEASE}-injector")
    config = monitor["spec"]["endpoints"][0]["tlsConfig"]
    assert config == {"serverName": f"{RELEASE}-injector.{NAMESPACE}.svc", "ca": source}
    if "configMap" in source:
        assert made.one("ConfigMap", source["configMap"]["name"])["data"]["ca.crt"].strip() == PEM.strip()


def test_a_gateway_without_a_service_for_metrics_cannot_be_scraped(helm: Helm) -> None:
    with pytest.raises(RefusedError, match=r"gateway\.metricsService\.enabled: is needed with"):
        rendered(helm, gateway={"enabled": True, "metricsService": {"enabled": False}})


def test_more_relabelling_comes_after_ours(helm: Helm) -> None:
    more = [{"action": "drop", "sourceLabels": ["__name__"], "regex": "python_.*"}]
    made = rendered(helm, {"podMonitor": {"metricRelabelings": more, "relabelings": more}})
    (endpoint,) = made.one("PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["metricRelabelings"][1:] == more
    assert endpoint["metricRelabelings"][0]["action"] == "labeldrop"
    assert endpoint["relabelings"] == more


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"prometheusRule": {"thresholds": {"errorShare": 5}}}, "/monitoring/prometheusRule/thresholds/errorShare"),
        ({"prometheusRule": {"thresholds": {"tierDownFor": "ten"}}}, "/thresholds/tierDownFor"),
        ({"podMonitor": {"interval": "30"}}, "/monitoring/podMonitor/interval"),
        ({"prometheusRule": {"thresholds": {"errors": 1}}}, "additional properties 'errors' not allowed"),
    ],
)
def test_wrong_values_are_refused_with_their_place(helm: Helm, values: dict, said: str) -> None:
    with pytest.raises(RefusedError) as caught:
        rendered(helm, values)
    assert said in str(caught.value)
