"""The alerts: each fires when it should, and not otherwise, and says so in words that hold."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.chart.helm import Helm
from tests.monitoring.alerts import CASES, Case, Series
from tests.monitoring.alerts_further import FURTHER
from tests.monitoring.dashboards import CHART, queries
from tests.monitoring.prometheus import needs_prometheus
from tests.monitoring.rendered import all_rules, groups, rendered, rules

ALERTS = {rule["alert"]: rule for rule in all_rules() if "alert" in rule}
RECORDS = [rule for rule in all_rules() if "record" in rule]


def promtool(*arguments: str) -> str:
    """What it says; it must be content."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def written(path: Path, content: object) -> str:
    """Put it there as YAML; returns the path."""
    path.write_text(yaml.safe_dump(content))
    return str(path)


def tried(series: Series, at: str, alert: str, expected: list[dict]) -> dict[str, object]:
    """One of promtool's tests."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": expected}],
    }


@needs_prometheus()
@pytest.mark.parametrize("case", [*CASES, *FURTHER], ids=lambda case: case.alert)
def test_it_fires_when_it_should_and_not_otherwise(tmp_path: Path, case: Case) -> None:
    rule = ALERTS[case.alert]
    expected = {
        "exp_labels": {**case.labels, **rule["labels"]},
        "exp_annotations": {**rule["annotations"], "description": case.says},
    }
    at = "2h" if rule["for"] == "1h" else case.at
    tests = [tried(case.fires, at, case.alert, [expected]), tried(case.quiet, at, case.alert, [])]
    written(tmp_path / "rules.yaml", {"groups": [{"name": "tried", "rules": [*RECORDS, rule]}]})
    spec = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    promtool("test", "rules", written(tmp_path / "tests.yaml", spec))


def test_every_alert_is_tried() -> None:
    assert [case.alert for case in CASES] == list(ALERTS)


@needs_prometheus()
def test_promtool_finds_nothing_wrong_with_the_rules(tmp_path: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", written(tmp_path / "rules.yaml", {"groups": groups()}))


@needs_prometheus()
def test_every_query_of_a_panel_can_be_parsed(tmp_path: Path) -> None:
    records = [{"record": f"panel:query:{number}", "expr": each.expression} for number, each in enumerate(queries())]
    panels = written(tmp_path / "panels.yaml", {"groups": [{"name": "panels", "rules": records}]})
    assert f"{len(records)} rules found" in promtool("check", "rules", panels)


def test_what_an_alert_needs_is_there() -> None:
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("info", "warning", "critical"), name
        assert rule["annotations"]["summary"], name
        assert not rule["annotations"]["summary"].endswith("."), name
        assert rule["annotations"]["description"].endswith("."), name


def test_every_threshold_reaches_a_rule(helm: Helm) -> None:
    default = yaml.safe_load((CHART / "values.yaml").read_text())["monitoring"]["prometheusRule"]["thresholds"]
    changed: dict[str, object] = {"tierDownFor": "37m", "authorityDays": 41, "certificateDays": 43}
    for number, name in enumerate(default.keys() - changed.keys()):
        changed[name] = 0.3701 + number / 10_000
    said = str(rules(helm, **changed))
    for name, value in changed.items():
        assert str(value * 86_400 if name.endswith("Days") else value) in said, name  # type: ignore[operator]


def test_alerts_can_be_left_out_and_labelled(helm: Helm) -> None:
    values = {"prometheusRule": {"disabled": ["SkinflintProxyDown"], "alertLabels": {"team": "platform"}}}
    found = [
        rule for group in rendered(helm, values).one("PrometheusRule")["spec"]["groups"] for rule in group["rules"]
    ]
    alerts = {rule["alert"]: rule for rule in found if "alert" in rule}
    assert ALERTS.keys() - alerts.keys() == {"SkinflintProxyDown", "SkinflintSpendBurst"}
    assert {rule["labels"]["team"] for rule in alerts.values()} == {"platform"}


def test_without_a_gateway_or_an_injector_there_are_no_alerts_about_it(helm: Helm) -> None:
    for values, gone in (
        ({"gateway": {"enabled": False}}, "skinflint.gateway"),
        ({"injector": {"enabled": False}}, "skinflint.injector"),
    ):
        names = {group["name"] for group in rendered(helm, **values).one("PrometheusRule")["spec"]["groups"]}
        assert gone not in names
        assert "skinflint.proxies" in names
