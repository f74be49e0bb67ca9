"""The gateway as the chart runs it: the rendered arguments and settings, with Secrets as an operator fills them."""

import asyncio
import base64
import copy
import re
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.chart.gateway_pod import environment, lay_out, pod_of
from tests.chart.helm import NAMESPACE, Helm, Object, Rendered
from tests.chart.matrix import gateway
from tests.support.kube_api import KubeApi, kube_api
from tests.support.processes import environment as clean
from tests.support.processes import module, running, wait_until
from tests.support.x509 import TestCa

NAME = f"skinflint-gateway.{NAMESPACE}.svc"
VALUES = gateway(
    credentials={"secretName": "tenants"},
    adminToken={"secretName": "operators"},
    tls={"enabled": True, "secretName": "proxy-tls"},
    drain={"lingerSeconds": 0, "timeoutSeconds": 1},
    settings={"cache": {"disk": {"max_bytes": 0}}},
)


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of Skinflint's commands, to its end."""
    return subprocess.run(
        module("proxy", *arguments), env=clean(home), capture_output=True, text=True, timeout=60, check=False
    )


def make_authority(home: Path, api: KubeApi, rendered: Rendered) -> None:
    """Run the job as its pod would, against this API server."""
    container = rendered.one("Job")["spec"]["template"]["spec"]["containers"][0]
    place = ("--api", api.url, "--service-account", str(api.account))
    ended = command(home, *container["args"], *place)
    assert ended.returncode == 0, ended.stderr


def fill_in(folder: Path, secret: Object) -> str:
    """An operator's Secrets, and the CA's; returns a tenant's token."""
    for key, value in secret["data"].items():
        (folder / "ca" / key).write_bytes(base64.b64decode(value))
    credentials = str(folder / "access" / "credentials")
    made = command(folder, "gateway", "token", "shop", "--credentials", credentials)
    assert made.returncode == 0, made.stderr
    (folder / "admin" / "token").write_text("t" * 43)
    pem = TestCa(folder).server(NAME).read_bytes()
    begin = pem.index(b"-----BEGIN CERTIFICATE")
    (folder / "tls" / "tls.key").write_bytes(pem[:begin])
    (folder / "tls" / "tls.crt").write_bytes(pem[begin:])
    return made.stdout.strip()


async def test_the_job_makes_the_authority_with_the_rights_that_it_has(helm: Helm, tmp_path: Path) -> None:
    rendered = helm.render(gateway(ca={"hosts": ["llm.example.com"]}))
    place = f"/api/v1/namespaces/{NAMESPACE}"
    async with kube_api(tmp_path) as api:
        await asyncio.to_thread(make_authority, tmp_path, api, rendered)
        made = copy.deepcopy(api.objects)
        assert made.keys() == {f"{place}/{kind}/skinflint-gateway-ca" for kind in ("secrets", "configmaps")}
        await asyncio.to_thread(make_authority, tmp_path, api, rendered)
        assert api.objects == made, "an upgrade keeps it"
        for method, path, _ in api.asked:
            assert is_allowed(rendered.one("Role")["rules"], method, path.removeprefix(f"{place}/")), (method, path)


def is_allowed(rules: list[Object], method: str, path: str) -> bool:
    """Has who has these rules the right to a request?"""
    verb = {"GET": "get", "POST": "create", "PATCH": "patch"}[method]
    resource, _, name = path.partition("/")
    return any(
        verb in rule["verbs"] and resource in rule["resources"] and name in rule.get("resourceNames", [name])
        for rule in rules
    )


async def test_it_runs_with_what_the_chart_gives_it(helm: Helm, tmp_path: Path) -> None:
    rendered = helm.render(VALUES)
    file = lay_out(rendered, tmp_path)
    async with kube_api(tmp_path / "cluster") as api:
        await asyncio.to_thread(make_authority, tmp_path, api, rendered)
        secret = api.objects[f"/api/v1/namespaces/{NAMESPACE}/secrets/skinflint-gateway-ca"]
    token = fill_in(tmp_path, secret)
    file.write_text(re.sub(r"0\.0\.0\.0:\d+", "127.0.0.1:0", file.read_text("utf-8")), "utf-8")
    for volume in pod_of(rendered)["volumes"]:
        if mode := volume.get("secret", {}).get("defaultMode"):
            for each in (tmp_path / volume["name"]).iterdir():
                each.chmod(mode)
            (tmp_path / volume["name"]).chmod(0o500)
    arguments = [
        each.replace("/etc/skinflint/config", str(file.parent)) for each in pod_of(rendered)["containers"][0]["args"]
    ]
    variables = clean(tmp_path, **environment(rendered), SKINFLINT_LOG__FORMAT="console")
    with running(module("proxy", *arguments), tmp_path / "home", variables) as process:
        wait_until(lambda: "  CA  " in process.output, "it is ready", process=process)
        admin = re.search(r"admin +(http://\S+)", process.output)
        assert admin is not None
        for probe in ("/readyz", "/livez", "/metrics"):
            with urllib.request.urlopen(admin[1] + probe, timeout=20) as answer:
                assert answer.status == 200
        plain, secured = re.findall(r"listening +(\S+) \(regular", process.output)
        assert proxy_status(f"http://{plain}") == 407
        assert proxy_status(f"http://shop:{token}@{plain}") == 403, "a tenant, but no provider"
        host, _, port = secured.partition(":")
        context = ssl.create_default_context(cafile=str(tmp_path / "test-root.pem"))
        with socket.create_connection((host, int(port))) as connection:
            context.wrap_socket(connection, server_hostname=NAME).close()
        assert process.stop() == 0, process.output


def proxy_status(proxy: str) -> int:
    """What a gateway says of a call that leads elsewhere than to a provider."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy}))
    with pytest.raises(urllib.error.HTTPError) as caught:
        opener.open("http://elsewhere.example.com/", timeout=20)
    caught.value.close()
    return caught.value.code
