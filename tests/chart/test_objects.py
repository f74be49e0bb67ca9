"""Every object of every case: what Kubernetes' schemas say, the words that they do not check, names and labels."""

import json
import re
from collections.abc import Iterator

import kubernetes_validate
import pytest

from tests.chart.helm import NAMESPACE, Rendered

KUBERNETES = ("1.32", "1.37")  # the schemas' oldest and newest
FOREIGN = {"Issuer", "Certificate", "ScaledObject", "VerticalPodAutoscaler"}  # have no schema there
CLUSTER = {
    "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ClusterRole",
    "ClusterRoleBinding",
}  # fmt: skip
WORDS = {
    "restartPolicy": {"Always", "OnFailure", "Never"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "terminationMessagePolicy": {"File", "FallbackToLogsOnError"},
    "failurePolicy": {"Fail", "Ignore"},
    "matchPolicy": {"Exact", "Equivalent"},
    "reinvocationPolicy": {"Never", "IfNeeded"},
    "sideEffects": {"None", "NoneOnDryRun"},
    "unhealthyPodEvictionPolicy": {"IfHealthyBudget", "AlwaysAllow"},
    "whenUnsatisfiable": {"DoNotSchedule", "ScheduleAnyway"},
    "internalTrafficPolicy": {"Cluster", "Local"},
    "fsGroupChangePolicy": {"OnRootMismatch", "Always"},
    "protocol": {"TCP", "UDP"},
    "scheme": {"HTTP", "HTTPS"},
    "scope": {"Namespaced", "Cluster", "*"},
    "operator": {"In", "NotIn", "Exists", "DoesNotExist"},
    "validationActions": {"Deny", "Warn", "Audit"},
    "policyTypes": {"Ingress", "Egress"},
    "operations": {"CREATE", "UPDATE", "DELETE", "CONNECT"},
    "accessModes": {"ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"},
    "updateMode": {"Off", "Initial", "Recreate", "InPlaceOrRecreate", "Auto"},
    "reason": {"Unauthorized", "Forbidden", "Invalid", "RequestEntityTooLarge"},
}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def walk(value: object) -> Iterator[tuple[str, object]]:
    """Every key anywhere below, with its value."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield key, below
            yield from walk(below)
    elif isinstance(value, list):
        for below in value:
            yield from walk(below)


@pytest.fixture(scope="session")
def validated() -> set[str]:
    """Objects that were good in another case: most cases change one of many."""
    return set()


def test_objects_are_what_kubernetes_schemas_say(case: Rendered, validated: set[str]) -> None:
    for each in case.objects:
        if each["kind"] not in FOREIGN and (text := json.dumps(each, sort_keys=True)) not in validated:
            for version in KUBERNETES:
                kubernetes_validate.validate(each, version, strict=True)
            validated.add(text)


def test_words_that_schemas_do_not_check_are_kubernetes_own(case: Rendered) -> None:
    for each in case.objects:
        for key, value in walk(each):
            if key in WORDS:
                assert {*(value if isinstance(value, list) else [value])} <= WORDS[key], (each["kind"], key, value)


def test_names_are_short_unique_and_in_the_releases_namespace(case: Rendered) -> None:
    places = [(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in case.objects]
    assert len(places) == len(set(places))
    for each in case.objects:
        assert _NAME.fullmatch(each["metadata"]["name"]), each["metadata"]["name"]
        assert each["metadata"].get("namespace") == (None if each["kind"] in CLUSTER else NAMESPACE), each["kind"]
        for port in [value for key, value in walk(each) if key == "ports" and isinstance(value, list)]:
            assert all(len(one.get("name", "")) <= 15 for one in port if isinstance(one, dict))


def test_labels_and_annotations_are_texts_that_kubernetes_takes(case: Rendered) -> None:
    for each in case.objects:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "skinflint"
        assert labels["app.kubernetes.io/component"] in ("injector", "gateway", "ca")
        for key, value in walk(each):
            if key in ("labels", "matchLabels"):
                assert isinstance(value, dict)
                assert all(isinstance(one, str) and _LABEL.fullmatch(one) for one in value.values()), value
            if key == "annotations":
                assert isinstance(value, dict)
                assert all(isinstance(one, str) for one in value.values()), value


def test_what_is_rendered_has_no_noise(case: Rendered) -> None:
    for path, text in case.files.items():
        lines = text.rstrip("\n").split("\n")
        assert not [line for line in lines if line != line.rstrip()], path
        assert "" not in lines, path


def test_labels_and_annotations_for_all_are_on_all(renderings: dict[str, Rendered]) -> None:
    for each in renderings["both"].objects:
        assert each["metadata"]["labels"]["team"] == "platform"
        assert each["metadata"]["annotations"]["example.com/owner"] == "platform"
        if template := each.get("spec", {}).get("template"):
            assert template["metadata"]["labels"]["team"] == "platform"


def test_a_digest_goes_before_the_tag(renderings: dict[str, Rendered]) -> None:
    for each in renderings["both"].of("Deployment"):
        image = each["spec"]["template"]["spec"]["containers"][0]["image"]
        assert image == "registry.example/skinflint@sha256:" + "0" * 64
        assert each["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "pull"}]
