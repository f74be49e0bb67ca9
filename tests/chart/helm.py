"""The chart as Helm makes it: rendered, checked against its schema, linted. No cluster is involved.

Rules: what is rendered is read as YAML that repeats no key; an object's text has no blank lines and no trailing blanks.
"""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.support.processes import ROOT, environment, module

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

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            module("tests.chart.helm_process"),
            env=environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def render(self, values: Values | None = None, name: str = RELEASE, namespace: str = NAMESPACE) -> Rendered:
        """What an installation without a cluster gives. Raises RefusedError."""
        return read(self._ask("render", values=values, name=name, namespace=namespace))

    def render_upgrade(self, kubeconfig: str, values: Values | None = None) -> Rendered:
        """What an upgrade gives that can look into a cluster. Raises RefusedError."""
        return read(self._ask("upgrade", kubeconfig=kubeconfig, values=values, name=RELEASE, namespace=NAMESPACE))

    def lint(self, values: Values, kube_version: str = "v1.33.0") -> list[str]:
        """What `helm lint --strict` finds, and what templates refuse."""
        return [
            each for each in self._ask("lint", values=values, kube_version=kube_version, namespace=NAMESPACE) if each
        ]

    def default_values(self) -> dict:
        """values.yaml."""
        found: dict = self._ask("values")
        return found

    def schema(self) -> dict:
        """values.schema.json."""
        found: dict = self._ask("schema")
        return found

    def _ask(self, do: str, **request: object) -> dict:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        if "refused" in told:
            raise RefusedError(told["refused"])
        said: dict = told["said"]
        return said


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
