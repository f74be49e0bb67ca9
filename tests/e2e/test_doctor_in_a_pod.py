"""The doctor as a sidecar's, beside a running proxy, and over a manifest that comes from another program."""

import json

from typer.testing import CliRunner

from proxy.cli import app
from tests.conftest import MakeProxy
from tests.e2e.calls import ask, chat
from tests.support.background import Providers


async def test_the_doctor_asks_the_running_proxy(make_proxy: MakeProxy, provider: Providers, prompt: str) -> None:
    labels = {"pod": "web-1", "namespace": "shop", "node": "n1"}
    proxy = make_proxy(provider, {"attribution": {"labels": labels}})
    await ask(proxy, chat(prompt))
    arguments = ["doctor", "--sidecar", "--format", "json", "--config", str(proxy.config)]
    result = CliRunner().invoke(app, arguments)
    found = {(each["subject"], each["level"]): each["message"] for each in json.loads(result.stdout)}
    assert found["proxy", "ok"].startswith("version")
    assert found["mode", "ok"].startswith("env")
    assert found["connections", "ok"] == "1 intercepted so far"
    assert found["cache", "ok"].startswith("the tier")
    assert found["ledger", "ok"] == "sqlite: rows are written"
    assert found["labels", "ok"] == "pod=web-1, namespace=shop, node=n1"
    assert ("trust files", "fail") in found  # they are on no volume here
    assert result.exit_code == 1


def test_a_manifest_may_come_from_another_program() -> None:
    pod = {"kind": "Pod", "metadata": {"name": "web", "labels": {"skinflint.dev/inject": "false"}}, "spec": {}}
    result = CliRunner().invoke(app, ["doctor", "--pod", "-", "--format", "json"], input=json.dumps(pod))
    (finding,) = json.loads(result.stdout)
    assert (result.exit_code, finding["level"]) == (0, "note")
