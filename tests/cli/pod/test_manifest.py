"""Pods are read out of whatever holds them."""

import json

import pytest

from proxy.cli.pod.manifest import MOST_BYTES, ManifestError, read

POD = {"kind": "Pod", "metadata": {"name": "web-1", "namespace": "shop"}, "spec": {}}


def names(content: str) -> list[tuple[str, str]]:
    return [(each.name, each.namespace) for each in read(content)]


def test_yaml_and_json_lists_and_several_documents() -> None:
    text = json.dumps(POD)
    assert names(text) == [("web-1", "shop")]
    assert names(f"--- {text}\n---\n--- {text}\n") == [("web-1", "shop")] * 2
    assert names(json.dumps({"kind": "List", "items": [POD, {"kind": "Service"}]})) == [("web-1", "shop")]
    bare = {"metadata": {"generateName": "web-"}}
    assert names(json.dumps({"kind": "PodList", "items": [bare]})) == [("web-", "")]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Job", "Rollout"])
def test_templates_of_workloads(kind: str) -> None:
    made = {"kind": kind, "metadata": {"name": "web"}, "spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}
    (found,) = read(json.dumps(made))
    assert (found.name, found.is_template) == (f"{kind}/web", True)
    assert found.pod["metadata"] == {"labels": {"a": "b"}}


def test_the_template_of_a_cron_job() -> None:
    template = {"spec": {"containers": [{"name": "job"}]}}
    made = {"kind": "CronJob", "metadata": {"name": "n"}, "spec": {"jobTemplate": {"spec": {"template": template}}}}
    (found,) = read(json.dumps(made))
    assert found.pod["spec"] == template["spec"]


def test_dates_of_yaml_are_texts() -> None:
    (found,) = read("kind: Pod\nmetadata: {name: a, creationTimestamp: 2026-01-31T10:00:00Z, labels: {1: 2026-01-31}}")
    assert found.pod["metadata"] == {
        "name": "a",
        "creationTimestamp": "2026-01-31 10:00:00+00:00",
        "labels": {"1": "2026-01-31"},
    }


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "there is no pod in it"),
        ("kind: Service", "there is no pod in it"),
        ("- a", "there is no pod in it"),
        ("a: [", "line 1: not valid YAML"),
        ("a: \x07", "not valid YAML"),
        ("kind: [Pod]", "malformed: kind must be text"),
        ("kind: Deployment\nspec: secret-text", "malformed: spec must be an object"),
        ("x" * (MOST_BYTES + 1), "larger than"),
        (LAUGHS, "more than 1,000,000 values"),
        ("[" * 100_000, "not valid YAML|too deeply"),
        ("a: !!python/object:os.system x", "not valid YAML"),
    ],
)
def test_what_is_no_manifest_is_an_error_that_shows_nothing_of_it(content: str, reason: str) -> None:
    with pytest.raises(ManifestError, match=reason) as caught:
        read(content)
    assert "secret-text" not in str(caught.value)
