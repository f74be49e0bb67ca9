"""The composed gateway: what compose.yaml promises, and its settings at work with a real Redis and PostgreSQL."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest
import yaml

from config.load import SettingsLoader
from proxy import runtime
from proxy.demo.certificates import Certificates
from tests.conftest import towards
from tests.e2e.calls import ask, said
from tests.image.building import Image
from tests.image.containers import Container, run, started, state
from tests.support.background import Providers
from tests.support.postgres import needs_postgres, postgres_server
from tests.support.processes import ROOT, environment, module, running, wait_until
from tests.support.raw_client import chat
from tests.support.redis_servers import RedisServer, needs_redis
from tests.support.running import RunningProxy, wait_ready

FOLDER = ROOT / "deploy" / "compose"
SETTINGS = FOLDER / "gateway" / "skinflint.yaml"
PASSWORD = "change-me"  # of .env.example
RUN = ("run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
REPORT = ("report", "--format", "json")

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


@dataclass(frozen=True, slots=True)
class Composed:
    """The gateway with its settings, and the other services."""

    proxy: RunningProxy
    redis: RedisServer
    report: Callable[[], subprocess.CompletedProcess[str]]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """In place of the service."""
    server = RedisServer(tmp_path / "redis", f"requirepass {PASSWORD}").start()
    yield server
    server.kill()


@pytest.fixture
def told(services: dict[str, Service], redis: RedisServer) -> Iterator[dict[str, str]]:
    """What the gateway is told by variables, with the addresses of real servers."""
    with postgres_server(PASSWORD) as database:
        places = {"redis:6379": f"127.0.0.1:{redis.port}", "postgres:5432": f"127.0.0.1:{database.port}"}
        found = variables(services["gateway"])
        for service, place in places.items():
            found = {name: value.replace(service, place) for name, value in found.items()}
        yield found


@pytest.fixture
def here(
    told: dict[str, str], redis: RedisServer, provider: Providers, authority: Certificates, tmp_path: Path
) -> Iterator[Composed]:
    """From the sources."""
    data_dir = tmp_path / "data"
    upstream = json.dumps(towards(provider, authority)["upstream"])
    own = {"SKINFLINT_CONFIG": str(SETTINGS), "SKINFLINT_DATA_DIR": str(data_dir), "SKINFLINT_UPSTREAM": upstream}
    environ = environment(tmp_path, **{**told, **own})

    def report() -> subprocess.CompletedProcess[str]:
        return subprocess.run(module("proxy", *REPORT), env=environ, check=False, capture_output=True, text=True)

    with running(module("proxy", *RUN), tmp_path, environ) as process:
        yield Composed(RunningProxy(process, wait_ready(process, data_dir), tmp_path, SETTINGS), redis, report)


@pytest.fixture
def contained(
    image: Image,
    told: dict[str, str],
    redis: RedisServer,
    provider: Providers,
    authority: Certificates,
    tmp_path: Path,
) -> Iterator[Composed]:
    """In the image, with the mounts of compose.yaml."""
    volume = state(tmp_path / "state")
    upstream = {**cast("dict[str, object]", towards(provider, authority)["upstream"]), "extra_ca": ["/extra-ca"]}
    given = Container(
        RUN,
        volumes={"/var/lib/skinflint": volume},
        read_only={"/etc/skinflint": SETTINGS.parent, "/extra-ca": authority.ca},
        variables={**told, "SKINFLINT_UPSTREAM": json.dumps(upstream)},
    )

    def report() -> subprocess.CompletedProcess[str]:
        return run(image, tmp_path / "report", replace(given, args=REPORT))

    with started(image, tmp_path / "bundle", given) as process:
        wait_until((volume / "runtime.json").exists, "the proxy is ready", process=process)
        said_of_itself = runtime.read(volume)
        assert said_of_itself is not None
        ready = replace(
            said_of_itself, data_dir=volume, ca=volume / said_of_itself.ca.relative_to("/var/lib/skinflint")
        )
        yield Composed(RunningProxy(process, ready, tmp_path, SETTINGS), redis, report)


@needs_redis()
@needs_postgres()
@pytest.mark.timeout(600)  # the image may have to be built
@pytest.mark.parametrize("where", ["here", "contained"])
async def test_calls_are_shared_by_redis_and_counted_in_postgresql(
    request: pytest.FixtureRequest, where: str, prompt: str
) -> None:
    composed: Composed = request.getfixturevalue(where)
    answers = [await ask(composed.proxy, chat(prompt)) for _ in range(3)]
    assert [said(answer) for answer in answers] == ["miss", "hit", "hit"]
    with composed.redis.client(PASSWORD) as client:
        assert client.keys("skinflint*")
    assert composed.proxy.stop() == 0, composed.proxy.process.output
    done = composed.report()
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["totals"]["calls"] == 3
