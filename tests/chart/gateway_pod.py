"""The gateway's pod as the kubelet makes it: its files and its variables."""

from pathlib import Path
from typing import Final

from tests.chart.helm import Object, Rendered

SECRETS: Final = {
    "SKINFLINT_CACHE__REDIS__URL": "redis://127.0.0.1:1",
    "SKINFLINT_LEDGER__URL": "sqlite:///ledger.sqlite",
}


def pod_of(rendered: Rendered) -> Object:
    """The gateway's pod."""
    (workload,) = [each for each in rendered.objects if each["kind"] in ("Deployment", "DaemonSet")]
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def lay_out(rendered: Rendered, folder: Path) -> Path:
    """The pod's files, Secrets with made-up contents; returns the settings' file, whose paths lead there."""
    spec = pod_of(rendered)
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    text = rendered.one("ConfigMap", "skinflint-gateway")["data"]["skinflint.yaml"]
    for mount in spec["containers"][0]["volumeMounts"]:
        place = folder / mount["name"]
        place.mkdir(exist_ok=True)
        for item in volumes[mount["name"]].get("secret", {}).get("items", []):
            (place / item["path"]).write_text("", "utf-8")
        text = text.replace(mount["mountPath"], str(place))
    assert "/etc/skinflint" not in text, "a setting names a file that is not mounted"
    file = folder / "config" / "skinflint.yaml"
    file.write_text(text, "utf-8")
    return file


def environment(rendered: Rendered) -> dict[str, str]:
    """The pod's variables, as the kubelet would fill them in."""
    entries = pod_of(rendered)["containers"][0].get("env", [])
    return {each["name"]: each.get("value") or SECRETS.get(each["name"], "http://filled.in") for each in entries}
