"""The chart as Helm makes it: rendered, checked against its schema, linted. No cluster and no network is involved.

Rules: what is rendered is read as YAML that repeats no key; an object's text has no blank lines and no trailing blanks.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import helm_python
import yaml

from tests.support.processes import ROOT

CHART = ROOT / "charts" / "skinflint"
RELEASE = "skinflint"
NAMESPACE = "llm-system"

type Values = Mapping[str, object]
type Object = dict


class RefusedError(Exception):
    """Helm does not render the chart with these values. The text is what it says."""


class _Loader(yaml.CSafeLoader):
    """YAML in which a repeated key is an error, as the API server would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = {key for key in keys if keys.count(key) > 1}
        assert not repeated, f"repeated keys: {repeated}{node.start_mark}"
        return super().construct_mapping(node, deep)


@dataclass(frozen=True, slots=True)
class Rendered:
    """What Helm would send to the API server, and the notes for who installs."""

    files: dict[str, str]
    objects: tuple[Object, ...]
    notes: str

    def of(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Object:
        """The only one of its kind, or of its kind and name."""
        found = [each for each in self.of(kind) if name is None or each["metadata"]["name"] == name]
        assert len(found) == 1, f"{kind} {name}: {[each['metadata']['name'] for each in self.of(kind)]}"
        return found[0]


class Helm:
    """The loaded chart. To be closed."""

    def __init__(self) -> None:
        self._chart = helm_python.Chart.load(CHART)

    def close(self) -> None:
        """Give the library its memory back."""
        self._chart.close()

    def render(self, values: Values | None = None, name: str = RELEASE, namespace: str = NAMESPACE) -> Rendered:
        """What an installation without a cluster gives. Raises RefusedError."""
        try:
            self._chart.validate_schema(values)
            return read(self._chart.render(values, name=name, namespace=namespace))
        except helm_python.HelmError as failure:
            raise RefusedError(str(failure)) from failure

    def render_upgrade(self, config: helm_python.Config, values: Values | None = None) -> Rendered:
        """What an upgrade gives that can look into a cluster."""
        return read(config.render(self._chart, values, name=RELEASE, namespace=NAMESPACE, is_upgrade=True))

    def default_values(self) -> dict:
        """values.yaml."""
        return self._chart.values

    def schema(self) -> dict:
        """values.schema.json."""
        found = self._chart.schema
        assert found is not None
        return found


def read(files: Mapping[str, str]) -> Rendered:
    """What the rendered files hold."""
    short = {path.removeprefix("skinflint/templates/"): text for path, text in files.items()}
    notes = short.pop("NOTES.txt", "")
    objects = [each for text in short.values() for each in documents(text)]
    return Rendered({path: text for path, text in short.items() if text.strip()}, tuple(objects), notes)


def documents(text: str) -> Iterator[Object]:
    """The objects in a file."""
    for document in re.split(r"^---$", text, flags=re.MULTILINE):
        if found := yaml.load(document, _Loader):
            yield found


def pods(rendered: Rendered) -> Iterator[tuple[Object, Object]]:
    """Each workload, and its pods' template."""
    for each in rendered.objects:
        if each["kind"] in ("Deployment", "DaemonSet", "Job"):
            yield each, each["spec"]["template"]
