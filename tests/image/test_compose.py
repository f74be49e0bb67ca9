"""The composed gateway: what compose.yaml promises, and its settings at work with a real Redis and PostgreSQL."""

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from config.load import SettingsLoader
from proxy.demo.certificates import Certificates
from tests.conftest import towards
from tests.e2e.calls import ask, said
from tests.support.background import Providers
from tests.support.postgres import needs_postgres, postgres_server
from tests.support.processes import ROOT, environment, module, running
from tests.support.raw_client import chat
from tests.support.redis_servers import RedisServer, needs_redis
from tests.support.running import RunningProxy, wait_ready

FOLDER = ROOT / "deploy" / "compose"
SETTINGS = FOLDER / "gateway" / "skinflint.yaml"
PASSWORD = "change-me"  # of .env.example

type Service = dict[str, object]


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    """The services, as compose understands them."""
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    command = ["docker-compose", "--env-file", ".env.example", "--file", "compose.yaml", "config"]
    done = subprocess.run(command, cwd=FOLDER, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Service] = yaml.safe_load(done.stdout)["services"]
    return found


def variables(service: Service) -> dict[str, str]:
    """A service's environment."""
    found = service["environment"]
    assert isinstance(found, dict)
    return {str(name): str(value) for name, value in found.items()}


def test_nothing_listens_beyond_loopback(services: dict[str, Service]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert sorted(published) == ["gateway", "grafana", "prometheus"]
    for ports in published.values():
        assert isinstance(ports, list)
        assert all(str(port).startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", ["gateway", "redis", "postgres", "prometheus", "grafana"])
def test_a_service_can_do_no_more_than_it_must_and_is_watched(services: dict[str, Service], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "test" in service["healthcheck"]  # type: ignore[operator]
    assert re.search(r":[\w.-]+$", str(service["image"]))


def test_without_passwords_it_does_not_start(services: dict[str, Service], tmp_path: Path) -> None:
    (tmp_path / "env").touch()
    command = ["docker-compose", "--env-file", str(tmp_path / "env"), "--file", "compose.yaml", "config"]
    done = subprocess.run(command, cwd=FOLDER, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "copy .env.example to .env" in done.stderr


def test_what_is_mounted_is_there(services: dict[str, Service]) -> None:
    mounted = [str(each).split(":")[0] for service in services.values() for each in service.get("volumes", [])]  # type: ignore[attr-defined]
    places = [Path(place) for place in mounted if place.startswith("/")]
    assert len(places) == 5
    assert [place for place in places if not place.exists() and place.name != "dashboards"] == []


def test_prometheus_takes_its_configuration() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    command = ["promtool", "check", "config", str(FOLDER / "prometheus.yml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboards_data_source_is_the_one_that_is_provisioned() -> None:
    [source] = yaml.safe_load((FOLDER / "grafana/datasources/prometheus.yaml").read_text())["datasources"]
    assert (source["uid"], source["type"]) == ("prometheus", "prometheus")


def test_the_gateways_settings_are_right(services: dict[str, Service]) -> None:
    settings = SettingsLoader(SETTINGS, {}, variables(services["gateway"]), "production").load()
    assert [listener.address for listener in settings.listeners] == ["0.0.0.0:3128"]
    assert (settings.admin.address, settings.workers) == ("0.0.0.0:9190", 2)


@pytest.fixture
def composed(
    services: dict[str, Service], provider: Providers, authority: Certificates, tmp_path: Path
) -> Iterator[tuple[RunningProxy, RedisServer, dict[str, str]]]:
    """The gateway with its settings, and servers instead of the other services."""
    server = RedisServer(tmp_path / "redis", f"requirepass {PASSWORD}").start()
    with contextlib.ExitStack() as stack:
        stack.callback(server.kill)
        database = stack.enter_context(postgres_server(PASSWORD))
        told = {
            name: value.replace("redis:6379", f"127.0.0.1:{server.port}").replace(
                "postgres:5432", f"127.0.0.1:{database.port}"
            )
            for name, value in variables(services["gateway"]).items()
        }
        upstream = json.dumps(towards(provider, authority)["upstream"])
        more = {
            "SKINFLINT_CONFIG": str(SETTINGS),
            "SKINFLINT_DATA_DIR": str(tmp_path / "data"),
            "SKINFLINT_UPSTREAM": upstream,
        }
        environ = environment(tmp_path, **{**told, **more})
        command = module("proxy", "run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        process = stack.enter_context(running(command, tmp_path, environ))
        yield RunningProxy(process, wait_ready(process, tmp_path / "data"), tmp_path, SETTINGS), server, environ


@needs_redis()
@needs_postgres()
async def test_calls_are_shared_by_redis_and_counted_in_postgresql(
    composed: tuple[RunningProxy, RedisServer, dict[str, str]], prompt: str
) -> None:
    proxy, server, environ = composed
    answers = [await ask(proxy, chat(prompt)) for _ in range(3)]
    assert [said(answer) for answer in answers] == ["miss", "hit", "hit"]
    with server.client(PASSWORD) as client:
        assert client.keys("skinflint*")
    assert proxy.stop() == 0, proxy.process.output
    command = module("proxy", "report", "--format", "json")
    done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["totals"]["calls"] == 3
