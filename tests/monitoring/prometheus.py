"""A real Prometheus, which scrapes as the chart's monitors say, and evaluates the chart's rules."""

import contextlib
import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from tests.chart.helm import NAMESPACE, RELEASE
from tests.monitoring.rendered import groups, one
from tests.monitoring.watched import Injector
from tests.support.processes import free_port, running, wait_until
from tests.support.running import RunningProxy

# What the kubelet would say; everything else must come from us.
KUBELET = """\
container_memory_working_set_bytes{namespace="shop",pod="web-1",container="skinflint"} 1e8
container_spec_memory_limit_bytes{namespace="shop",pod="web-1",container="skinflint"} 5e8
"""


def needs_prometheus() -> pytest.MarkDecorator:
    """Skips what has no Prometheus to run."""
    is_missing = shutil.which("prometheus") is None or shutil.which("promtool") is None
    return pytest.mark.skipif(is_missing, reason="prometheus and promtool are not installed")


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs."""

    url: str

    def get(self, path: str, **parameters: str) -> dict:
        """What its API answers."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=20) as answer:
            told: dict = json.load(answer)["data"]
        return told

    def query(self, expression: str) -> list[dict]:
        """What an expression comes to now."""
        found: list[dict] = self.get("query", query=expression)["result"]
        return found


@contextlib.contextmanager
def prometheus(directory: Path, proxy: RunningProxy, gateway: RunningProxy, injector: Injector) -> Iterator[Prometheus]:
    """Run it until the block is left."""
    directory.mkdir()
    (directory / "rules.yaml").write_text(yaml.safe_dump({"groups": groups()}))
    address = f"127.0.0.1:{free_port()}"
    with kubelet() as node:
        (directory / "prometheus.yaml").write_text(yaml.safe_dump(settings(proxy, gateway, injector, node)))
        command = [
            "prometheus",
            f"--config.file={directory / 'prometheus.yaml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={address}",
            "--log.level=warn",
        ]
        with running(command, directory) as process:
            made = Prometheus(f"http://{address}")

            def is_scraped() -> bool:
                with contextlib.suppress(OSError):
                    return len(made.query("up == 1")) == 4
                return False

            wait_until(is_scraped, "all targets are scraped", process=process)
            yield made


def settings(proxy: RunningProxy, gateway: RunningProxy, injector: Injector, node: str) -> dict[str, object]:
    """The configuration that the operator would make of the monitors, but for discovery."""
    pods = one("PodMonitor")["spec"]["podMetricsEndpoints"][0]
    replicas = one("ServiceMonitor", f"{RELEASE}-gateway")["spec"]["endpoints"][0]
    webhook = one("ServiceMonitor", f"{RELEASE}-injector")["spec"]["endpoints"][0]

    def target(address: str, namespace: str, pod: str, container: str) -> list[dict[str, object]]:
        return [{"targets": [address], "labels": {"namespace": namespace, "pod": pod, "container": container}}]

    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": f"{NAMESPACE}/{RELEASE}-sidecars",
                "metrics_path": pods["path"],
                "honor_labels": pods["honorLabels"],
                "metric_relabel_configs": pods["metricRelabelings"],
                "static_configs": target(proxy.runtime.admin, "shop", "web-1", "skinflint"),
            },
            {
                "job_name": f"{RELEASE}-gateway-metrics",
                "metrics_path": replicas["path"],
                "honor_labels": replicas["honorLabels"],
                "static_configs": target(gateway.runtime.admin, NAMESPACE, "skinflint-gateway-1", "gateway"),
            },
            {
                "job_name": f"{RELEASE}-injector",
                "metrics_path": webhook["path"],
                "scheme": webhook["scheme"],
                "tls_config": {"ca_file": str(injector.ca), "server_name": webhook["tlsConfig"]["serverName"]},
                "static_configs": target(injector.address, NAMESPACE, "skinflint-injector-1", "injector"),
            },
            {"job_name": "kubelet", "honor_labels": True, "static_configs": [{"targets": [node]}]},
        ],
    }


@contextlib.contextmanager
def kubelet() -> Iterator[str]:
    """Its metrics of one container, at the address that is given."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(BrokenPipeError):  # Prometheus may stop in the middle
                self.send_response(200)
                self.end_headers()
                self.wfile.write(KUBELET.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
