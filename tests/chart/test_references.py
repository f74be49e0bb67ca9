"""What an object names is there: selectors, ports, volumes, Secrets, accounts and targets."""

from collections.abc import Mapping

import pytest

from tests.chart.helm import Object, Rendered, pods
from tests.chart.matrix import ALL


def matches(selector: Mapping[str, str], template: Object) -> bool:
    """Do a template's labels have all of these?"""
    return selector.items() <= template["metadata"]["labels"].items()


def chosen(rendered: Rendered, selector: Mapping[str, str]) -> tuple[Object, Object]:
    """The only workload whose pods a selector matches."""
    found = [pair for pair in pods(rendered) if matches(selector, pair[1])]
    assert len(found) == 1, selector
    return found[0]


def ports(template: Object) -> dict[str, int]:
    """The names of a pod's ports."""
    return {port["name"]: port["containerPort"] for each in template["spec"]["containers"] for port in each["ports"]}


def test_selectors_match_the_pods_they_are_for(case: Rendered) -> None:
    for each, template in pods(case):
        if each["kind"] != "Job":
            assert chosen(case, each["spec"]["selector"]["matchLabels"]) == (each, template)
    for each in case.of("Service"):
        chosen(case, each["spec"]["selector"])
    for each in case.of("PodDisruptionBudget"):
        workload, _ = chosen(case, each["spec"]["selector"]["matchLabels"])
        assert workload["kind"] == "Deployment"
    for each in case.of("NetworkPolicy"):
        chosen(case, each["spec"]["podSelector"]["matchLabels"])


def test_selectors_do_not_change_with_the_version(case: Rendered) -> None:
    for each, _ in pods(case):
        if each["kind"] != "Job":
            assert each["spec"]["selector"]["matchLabels"].keys() == {
                f"app.kubernetes.io/{name}" for name in ("name", "instance", "component")
            }


def test_another_version_of_the_chart_alone_makes_no_pods_anew(case: Rendered) -> None:
    for each, template in pods(case):
        assert "helm.sh/chart" in each["metadata"]["labels"]
        assert "helm.sh/chart" not in template["metadata"]["labels"]


def test_ports_that_are_named_are_there(case: Rendered) -> None:
    for each in case.of("Service"):
        _, template = chosen(case, each["spec"]["selector"])
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports(template).keys()
    for each in case.of("NetworkPolicy"):
        _, template = chosen(case, each["spec"]["podSelector"]["matchLabels"])
        opened = {port["port"] for rule in each["spec"]["ingress"] for port in rule["ports"]}
        assert opened <= ports(template).keys()
    for _, template in pods(case):
        for container in template["spec"]["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if probe in container:
                    assert container[probe]["httpGet"]["port"] in ports(template)


def test_the_webhooks_service_is_there(case: Rendered) -> None:
    for configuration in case.of("MutatingWebhookConfiguration"):
        for webhook in configuration["webhooks"]:
            named = webhook["clientConfig"]["service"]
            service = case.one("Service", named["name"])
            assert named["namespace"] == service["metadata"]["namespace"]
            assert named["port"] in [port["port"] for port in service["spec"]["ports"]]


@pytest.mark.parametrize("name", sorted(ALL))
def test_what_is_mounted_is_made_or_is_a_value(name: str, renderings: dict[str, Rendered]) -> None:
    rendered = renderings[name]
    made = {(each["kind"], each["metadata"]["name"]) for each in rendered.objects}
    made |= {("Secret", each["spec"]["secretName"]) for each in rendered.of("Certificate")}
    made |= {("Secret", each["spec"]["template"]["spec"]["containers"][0]["args"][2]) for each in rendered.of("Job")}
    given = str(ALL[name])

    def is_there(kind: str, wanted: str) -> bool:
        return (kind, wanted) in made or f"'{wanted}'" in given

    for _, template in pods(rendered):
        spec = template["spec"]
        mounted = {mount["name"] for each in spec["containers"] for mount in each.get("volumeMounts", [])}
        assert mounted == {volume["name"] for volume in spec.get("volumes", [])}
        for volume in spec.get("volumes", []):
            if "secret" in volume:
                assert is_there("Secret", volume["secret"]["secretName"])
            if "configMap" in volume:
                assert is_there("ConfigMap", volume["configMap"]["name"])
            if "persistentVolumeClaim" in volume:
                assert is_there("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
        for container in spec["containers"]:
            for variable in container.get("env", []):
                if source := variable.get("valueFrom", {}).get("secretKeyRef"):
                    assert is_there("Secret", source["name"])


def test_files_are_mounted_as_directories_that_the_kubelet_renews(case: Rendered) -> None:
    for _, template in pods(case):
        for container in template["spec"]["containers"]:
            for mount in container.get("volumeMounts", []):
                assert "subPath" not in mount
                assert mount.get("readOnly") is True or mount["name"] == "data"


def test_accounts_and_targets_are_there(case: Rendered) -> None:
    accounts = {each["metadata"]["name"] for each in case.of("ServiceAccount")} | {"default"}
    for _, template in pods(case):
        assert template["spec"]["serviceAccountName"] in accounts
    for kind in ("HorizontalPodAutoscaler", "ScaledObject", "VerticalPodAutoscaler"):
        for each in case.of(kind):
            target = each["spec"].get("scaleTargetRef") or each["spec"]["targetRef"]
            workload = case.one(target["kind"], target["name"])
            if kind != "VerticalPodAutoscaler":
                assert "replicas" not in workload["spec"], "an upgrade would undo the scaling"
    for binding in (*case.of("RoleBinding"), *case.of("ClusterRoleBinding")):
        case.one(binding["roleRef"]["kind"], binding["roleRef"]["name"])
        assert {subject["name"] for subject in binding["subjects"]} <= accounts


def test_policies_bindings_name_the_policy(case: Rendered) -> None:
    for binding in case.of("ValidatingAdmissionPolicyBinding"):
        case.one("ValidatingAdmissionPolicy", binding["spec"]["policyName"])
