"""Helm in a process of its own, which reads requests from standard input and answers each with a line of JSON.

Its library brings the threads of Go's runtime with it, and Python warns of a fork beside threads: other tests fork.
"""

import json
import os
import sys
import tempfile

import helm_python

from tests.support.processes import ROOT

CHART = ROOT / "charts" / "skinflint"


def answer(chart: helm_python.Chart, request: dict) -> object:
    """What Helm says. Raises HelmError."""
    values, place = request.get("values"), {"name": request.get("name"), "namespace": request.get("namespace")}
    match request["do"]:
        case "render":
            chart.validate_schema(values)
            return chart.render(values, **place)
        case "upgrade":
            options = {"kubeconfig_content": request["kubeconfig"], "namespace": place["namespace"]}
            with helm_python.Config(**options, storage_driver="memory") as config:
                return config.render(chart, values, **place, is_upgrade=True)
        case "lint":
            options = {"namespace": place["namespace"], "kube_version": request.get("kube_version"), "strict": True}
            with tempfile.TemporaryFile() as said:
                os.dup2(said.fileno(), 2)  # a linting Helm goes on after `fail`, and says there what it would refuse
                report = helm_python.lint(CHART, values, **options)
                said.seek(0)
                return [
                    *(each["error"] for each in report["messages"]),
                    *report["errors"],
                    *said.read().decode().split("\n"),
                ]
        case "values":
            return chart.values
        case "schema":
            return chart.schema
    raise AssertionError(request)


def main() -> None:
    """Answer until nobody asks any more."""
    with helm_python.Chart.load(CHART) as chart:
        for line in sys.stdin:
            try:
                told: dict[str, object] = {"said": answer(chart, json.loads(line))}
            except helm_python.HelmError as failure:
                told = {"refused": str(failure)}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
