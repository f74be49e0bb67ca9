"""What Grafana's dashboards ask Prometheus, with their variables filled in."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CHART = Path(__file__).parents[2] / "charts/skinflint"
DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))

_FILLED: Mapping[str, str] = {"__rate_interval": "5m", "__range": "1h", "by": "namespace"}  # all others: everything
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")

type Panel = dict


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel. `name` says where it stands."""

    name: str
    expression: str

    def __str__(self) -> str:
        return self.name


@cache
def dashboard(path: Path) -> dict:
    """The file's content."""
    content: dict = json.loads(path.read_text("utf-8"))
    return content


def panels(path: Path) -> Iterator[Panel]:
    """Its panels, rows not among them."""
    yield from (panel for panel in dashboard(path)["panels"] if panel["type"] != "row")


def filled(expression: str, **values: str) -> str:
    """As Grafana asks it: everything is selected, unless a value is given."""
    known = {**_FILLED, **values}
    return _VARIABLE.sub(lambda found: known.get(found[1] or found[2], ".*"), expression)


def variables(path: Path) -> list[dict]:
    """Its variables."""
    found: list[dict] = dashboard(path)["templating"]["list"]
    return found


def queries() -> list[Query]:
    """Those of all dashboards. One with a choice of labels is there once for each."""
    found = []
    for path in DASHBOARDS:
        choices = next((each["query"].split(",") for each in variables(path) if each["name"] == "by"), [""])
        for panel in panels(path):
            for target in panel["targets"]:
                name = f"{path.stem}: {panel['title']} {target['refId']}"
                found += [
                    Query(f"{name} {by}".strip(), filled(target["expr"], **({"by": by} if by else {})))
                    for by in (choices if "$by" in target["expr"] else [""])
                ]
    return found
