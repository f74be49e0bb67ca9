"""The chart's README says what the chart does."""

import json
import re

import yaml

from tests.chart.helm import CHART, Helm
from tests.chart.readme import README, sections, with_table

VALUES = (CHART / "values.yaml").read_text("utf-8")


def test_the_table_of_values_is_that_of_values_yaml() -> None:
    assert README.read_text("utf-8") == with_table(README.read_text("utf-8"), VALUES), (
        "write it: python -m tests.chart.readme"
    )


def test_every_value_is_documented() -> None:
    rows = [row for each in sections(VALUES) for row in each.rows]
    made: dict = {}
    for row in rows:
        *above, key = row.path.split(".")
        place = made
        for part in above:
            place = place.setdefault(part, {})
        place[key] = row.default
    assert made == yaml.safe_load(VALUES)
    assert json.dumps(made)


def test_examples_are_values_that_the_chart_takes(helm: Helm) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert examples
    for each in examples:
        assert helm.render(yaml.safe_load(each)).objects
