"""Pods judged by their manifests alone. `python -m tests.cli.pod.test_manifest_checkup` writes the findings anew."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from proxy.cli.checkup import Level
from proxy.cli.pod.manifest import Described, read
from proxy.cli.pod.manifest_checkup import check
from tests.injector.pods import patched, plan, pod

GOLDEN = Path(__file__).with_name("golden")
NAMES = sorted(file.stem for file in GOLDEN.glob("*.yaml"))


def case_of(name: str) -> dict:
    case: dict = yaml.safe_load((GOLDEN / f"{name}.yaml").read_text("utf-8"))
    return case


def found_in(manifest: Mapping[str, object]) -> dict[str, list[dict[str, str]]]:
    """By pod: what is found, as plain values."""
    return {
        each.name: [
            {key: str(value) for key, value in asdict(finding).items() if value}
            for finding in check(each, plan(), has_settings=False)
        ]
        for each in read(yaml.safe_dump(dict(manifest)))
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_findings_are_the_golden_ones(name: str) -> None:
    case = case_of(name)
    assert found_in(case["manifest"]) == case["findings"]


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_broken_has_a_remedy_or_says_it(name: str) -> None:
    for findings in case_of(name)["findings"].values():
        for finding in findings:
            assert finding["level"] != "fail" or "fix" in finding or "refuses it" in finding["message"]


def test_no_value_of_a_variable_is_shown() -> None:
    assert "secret" not in str(found_in(case_of("env-own-variables")["manifest"]))


def described(document: dict) -> Described:
    return Described("web", "shop", document)


def test_with_the_injectors_settings_a_pod_of_other_settings_is_noticed() -> None:
    made = patched(pod(), plan())
    same = check(described(made), plan(), has_settings=True)
    other = check(described(made), plan(image="skinflint:2"), has_settings=True)
    assert not [each for each in same if "otherwise now" in each.message]
    (finding,) = [each for each in other if "otherwise now" in each.message]
    assert (finding.level, "initContainers" in finding.message) == (Level.NOTE, True)


def test_exceptions_that_differ_by_cluster_are_not_the_users() -> None:
    made = patched(pod(annotations={"skinflint.dev/mode": "env"}), plan(no_proxy=[".corp.example"]))
    findings = check(described(made), plan(), has_settings=False)
    assert {each.level for each in findings if each.subject == "container app"} == {Level.OK}
    assert not [each for each in findings if each.level is Level.WARN]


def test_a_variable_that_an_older_version_did_not_know_was_not_taken_away() -> None:
    case = case_of("taken-away")
    status = case["manifest"]["metadata"]["annotations"]
    status["skinflint.dev/status"] = status["skinflint.dev/status"].replace("1.2.3", "1.0.0")
    (finding,) = [each for each in found_in(case["manifest"])["web-1"] if "lacks" in each["message"]]
    assert "version 1.0.0 did not set them" in finding["message"]


def test_an_annotation_that_cannot_be_read_is_a_failure() -> None:
    made = patched(pod())
    for text in ("{", "[]", '{"mode": "x"}'):
        made["metadata"]["annotations"]["skinflint.dev/status"] = text
        (finding,) = check(described(made), plan(), has_settings=False)
        assert (finding.level, "no skinflint.dev/status" in finding.message) == (Level.FAIL, True)


def test_another_mode_than_it_was_injected_in_is_a_failure() -> None:
    made = patched(pod())
    made["metadata"]["annotations"]["skinflint.dev/mode"] = "env"
    findings = check(described(made), plan(), has_settings=False)
    assert [each for each in findings if each.level is Level.FAIL and "would refuse it now" in each.message]


def test_a_redirect_that_was_taken_out_is_a_failure() -> None:
    made = patched(pod(annotations={"skinflint.dev/mode": "redirect"}))
    made["spec"]["initContainers"] = [each for each in made["spec"]["initContainers"] if each["name"] == "skinflint"]
    (finding,) = [each for each in check(described(made), plan(), has_settings=False) if each.subject == "redirect"]
    assert finding.level is Level.FAIL


def _write() -> None:
    for name in NAMES:
        case = case_of(name)
        case["findings"] = found_in(case["manifest"])
        text = yaml.safe_dump(case, sort_keys=False, width=116, allow_unicode=True)
        (GOLDEN / f"{name}.yaml").write_text(text, "utf-8")


if __name__ == "__main__":
    _write()
