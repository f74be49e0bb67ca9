"""Which labels of calls stand on metrics, and under which names."""

import pytest

from config.metric_labels import RESERVED, unusable
from config.schema import Attribution


@pytest.mark.parametrize("name", ["pod", "team", "cost_center", "App2"])
def test_ordinary_names_can_be_labels(name: str) -> None:
    assert unusable(name) == ""


@pytest.mark.parametrize("name", ["", "a-b", "2a", "_x", "__name__", "a.b", "té", "a\n", *sorted(RESERVED)])
def test_other_names_cannot(name: str) -> None:
    assert unusable(name).startswith(repr(name))


def test_all_fixed_labels_stand_on_samples_unless_some_are_named() -> None:
    labels = {"pod": "web-1", "team": "search"}
    assert Attribution(labels=labels).on_samples == labels
    assert Attribution(labels=labels, metric_labels=("team", "absent")).on_samples == {"team": "search"}
    assert Attribution(labels=labels, metric_labels=()).on_samples == {}


def test_a_label_without_a_value_stands_nowhere() -> None:
    assert Attribution(labels={"team": ""}).on_samples == {}


def test_what_differs_by_call_is_not_said_of_the_process() -> None:
    labels = {"app": "web", "team": "search"}
    assert Attribution(labels=labels, call_metric_labels=("app",)).on_samples == {"team": "search"}
