"""The dashboards' files: they can be imported by hand, and look as they should."""

import re
from pathlib import Path

import pytest

from tests.monitoring.dashboards import DASHBOARDS, Panel, dashboard, panels, variables

each = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


def test_there_are_three_with_names_of_their_own() -> None:
    assert len({dashboard(path)["uid"] for path in DASHBOARDS}) == len(DASHBOARDS) == 3
    assert len({dashboard(path)["title"] for path in DASHBOARDS}) == 3


@each
def test_every_panel_has_an_id_and_a_place_of_its_own(path: Path) -> None:
    everything = dashboard(path)["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: dict[tuple[int, int], str] = {}
    for panel in everything:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]


@each
def test_every_panel_says_what_it_shows_and_in_which_unit(path: Path) -> None:
    for panel in panels(path):
        assert panel["description"].strip(), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), panel["title"]


@each
def test_titles_are_there_once(path: Path) -> None:
    titles = [panel["title"] for panel in dashboard(path)["panels"]]
    assert len(set(titles)) == len(titles)


@each
def test_the_data_source_is_a_variable_and_no_other_is_named(path: Path) -> None:
    (source,) = [variable for variable in variables(path) if variable["type"] == "datasource"]
    assert (source["name"], source["query"]) == ("datasource", "prometheus")
    for holder in (*panels(path), *(target for panel in panels(path) for target in panel["targets"])):
        assert holder["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@each
def test_every_variable_that_is_used_is_declared_and_none_besides(path: Path) -> None:
    declared = {variable["name"] for variable in variables(path)} - {"datasource"}
    used = set[str]()
    for panel in panels(path):
        for text in (panel["title"], *texts(panel)):
            used |= set(re.findall(r"\$(\w+)", text))
    queried = {name for variable in variables(path) for name in re.findall(r"\$(\w+)", str(variable["query"]))}
    assert used - {"__rate_interval", "__range"} == declared
    assert queried <= declared


@each
def test_rates_adapt_to_the_time_that_is_shown(path: Path) -> None:
    for panel in panels(path):
        for target in panel["targets"]:
            for window in re.findall(r"\[([^]]+)\]", target["expr"]):
                assert window in ("$__rate_interval", "$__range"), panel["title"]
            # A range is one number over all that is shown; as a line it would be drawn again for each point.
            assert ("$__range" in target["expr"]) <= (target.get("instant") is True), panel["title"]


def texts(panel: Panel) -> list[str]:
    """Where a panel's variables may stand."""
    return [text for target in panel["targets"] for text in (target["expr"], target.get("legendFormat", ""))]
