"""The gateway as the chart runs it: the rendered arguments and settings, with Secrets as an operator fills them."""

import re
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import get_args

import pytest

from config.schema import Profile
from tests.chart.gateway_pod import environment, lay_out, pod_of
from tests.chart.helm import Helm
from tests.chart.matrix import gateway
from tests.support.processes import environment as clean
from tests.support.processes import module, running, wait_until
from tests.support.x509 import TestCa

pytestmark = pytest.mark.skipif(
    "gateway" not in get_args(Profile.__value__), reason="this Skinflint has no profile gateway"
)

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


def test_it_runs_with_what_the_chart_gives_it(helm: Helm, tmp_path: Path) -> None:
    rendered = helm.render(VALUES)
    file = lay_out(rendered, tmp_path)
    made = command(tmp_path, "ca", "make", str(tmp_path / "ca"))
    assert made.returncode == 0, made.stderr
    token = command(tmp_path, "gateway", "token", "shop", "--credentials", str(tmp_path / "access" / "credentials"))
    assert token.returncode == 0, token.stderr
    (tmp_path / "admin" / "token").write_text("t" * 43)
    ca = TestCa(tmp_path)
    pem = ca.server("skinflint-gateway.llm-system.svc").read_bytes()
    begin = pem.index(b"-----BEGIN CERTIFICATE")
    (tmp_path / "tls" / "tls.key").write_bytes(pem[:begin])
    (tmp_path / "tls" / "tls.crt").write_bytes(pem[begin:])
    file.write_text(re.sub(r"0\.0\.0\.0:\d+", "127.0.0.1:0", file.read_text("utf-8")), "utf-8")
    for secret in ("ca", "access", "admin", "tls", "config"):
        (tmp_path / secret).chmod(0o500)

    arguments = [
        each.replace("/etc/skinflint/config", str(file.parent)) for each in pod_of(rendered)["containers"][0]["args"]
    ]
    variables = clean(tmp_path, **environment(rendered), SKINFLINT_LOG__FORMAT="console")
    with running(module("proxy", *arguments), tmp_path / "home", variables) as process:
        wait_until(lambda: "is ready" in process.output and "CA" in process.output, "it is ready", process=process)
        admin = re.search(r"admin +(http://\S+)", process.output)
        assert admin is not None
        for probe in ("/readyz", "/livez", "/metrics"):
            with urllib.request.urlopen(admin[1] + probe, timeout=20) as answer:
                assert answer.status == 200
        proxies = re.findall(r"listening +(\S+) \(regular", process.output)
        assert len(proxies) == 2
        assert proxy_status(f"http://{proxies[0]}") == 407
        assert proxy_status(f"http://shop:{token.stdout.strip()}@{proxies[0]}") == 403, "a tenant, but no provider"
        context = ssl.create_default_context(cafile=str(ca.root))
        host, _, port = proxies[1].partition(":")
        with socket.create_connection((host, int(port))) as plain:
            context.wrap_socket(plain, server_hostname="skinflint-gateway.llm-system.svc").close()
        assert process.stop() == 0, process.output


def proxy_status(proxy: str) -> int:
    """What a gateway says of a call that leads elsewhere than to a provider."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy}))
    with pytest.raises(urllib.error.HTTPError) as caught:
        opener.open("http://elsewhere.example.com/", timeout=20)
    caught.value.close()
    return caught.value.code


def test_the_jobs_command_is_one_that_there_is(helm: Helm, tmp_path: Path) -> None:
    job = helm.render(gateway(ca={"hosts": ["llm.example.com"]})).one("Job")
    ended = command(tmp_path, *job["spec"]["template"]["spec"]["containers"][0]["args"])
    assert ended.returncode == 1, f"it should miss an API server, and nothing else: {ended.stderr}"
