"""The image at work: as user 1337, without capabilities and without a root that it could write to."""

import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.schema import split_address
from proxy.demo.certificates import Certificates
from proxy.injector.modes.redirect import RedirectMode
from tests.conftest import towards
from tests.e2e.calls import said
from tests.image.building import Image
from tests.image.containers import Container, run, started, state
from tests.support.background import Providers
from tests.support.netns import Namespace, lacking, namespace
from tests.support.processes import RunningProcess, free_port, wait_until
from tests.support.raw_client import chat, connect, post, secure
from tests.support.x509 import TestCa

pytestmark = pytest.mark.timeout(600)  # the first test waits for the build

HOST = "api.openai.com"
STATE = "/var/lib/skinflint"
NAME = "skinflint-injector.skinflint.svc"


@pytest.fixture
def network() -> Iterator[Namespace]:
    """A pod's network."""
    if lack := lacking():
        pytest.skip(lack)
    with namespace("image") as made:
        yield made


def found_ready(process: RunningProcess, volume: Path) -> dict[str, object]:
    """What a proxy says of itself, once it is ready."""
    file = volume / "runtime.json"
    wait_until(file.exists, "the proxy is ready", process=process)
    told: dict[str, object] = json.loads(file.read_text())
    return told


def test_it_says_its_version(image: Image, tmp_path: Path) -> None:
    done = run(image, tmp_path / "bundle", Container(("--version",)))
    assert (done.returncode, done.stdout.split()[0]) == (0, "skinflint"), done


def test_all_of_it_can_be_imported_and_all_libraries_are_there(image: Image, tmp_path: Path) -> None:
    script = Path(__file__).with_name("everything.py").read_text()
    done = run(image, tmp_path / "bundle", Container(command=["/opt/skinflint/bin/python", "-c", script]))
    assert (done.returncode, done.stdout) == (0, "")


async def test_calls_go_through_it_in_every_mode_and_come_again_from_its_cache(
    image: Image, provider: Providers, authority: Certificates, tmp_path: Path, prompt: str
) -> None:
    settings = tmp_path / "settings"
    settings.mkdir()
    places = towards(provider, authority)
    places["upstream"] |= {"extra_ca": ["/etc/skinflint/extra-ca"]}  # type: ignore[operator]
    (settings / "skinflint.yaml").write_text(json.dumps({**places, "ledger": {"flush_s": 0.05}}))
    volume = state(tmp_path / "state")
    modes = ("regular", "hosts", "transparent", f"reverse:https://{HOST}")
    given = Container(
        (
            "run",
            "--admin",
            "127.0.0.1:0",
            *(part for mode in modes for part in ("--listen", "127.0.0.1:0", "--mode", mode)),
        ),
        volumes={STATE: volume},
        read_only={"/etc/skinflint/config": settings, "/etc/skinflint/extra-ca": authority.ca},
        variables={"SKINFLINT_CONFIG": "/etc/skinflint/config/skinflint.yaml"},
    )
    with started(image, tmp_path / "bundle", given) as process:
        told = found_ready(process, volume)
        trust = ssl.create_default_context(cafile=str(volume / Path(str(told["ca"])).relative_to(STATE)))
        listeners = told["listeners"]
        assert isinstance(listeners, list)
        ports = {each["mode"].partition(":")[0]: split_address(each["address"])[1] for each in listeners}
        assert sorted(ports) == ["hosts", "regular", "reverse", "transparent"]
        seen = []
        async with await secure(ports["regular"], trust) as client:
            client.send(post(chat(prompt)))
            seen.append(said(await client.answer()))
        async with await connect(ports["hosts"]) as client:
            await client.start_tls(trust, HOST)
            client.send(post(chat(prompt)))
            seen.append(said(await client.answer()))
        async with await connect(ports["reverse"]) as client:
            client.send(post(chat(prompt)))
            seen.append(said(await client.answer()))
        assert seen == ["miss", "hit", "hit"]
        assert process.stop() == 0, process.output
    assert not re.search("traceback|read-only", process.output, re.IGNORECASE), process.output
    assert {path.stat().st_uid for path in volume.rglob("*")} == {1337}


def test_what_it_does_unless_told_otherwise_is_healthy(image: Image, network: Namespace, tmp_path: Path) -> None:
    inside = network.command()
    volume = state(tmp_path / "state")
    healthy = Container(command=image.health, network=inside)
    assert run(image, tmp_path / "before", healthy).returncode != 0
    given = Container(image.command, volumes={STATE: volume}, network=inside)
    with started(image, tmp_path / "bundle", given) as process:
        assert "0.0.0.0:3128" in json.dumps(found_ready(process, volume)["listeners"])
        done = run(image, tmp_path / "probe", healthy)
        assert done.returncode == 0, done
        assert process.stop() == 0, process.output


def test_the_injector_serves_with_a_certificate_and_without_a_volume(image: Image, tmp_path: Path) -> None:
    ca = TestCa(tmp_path)
    pair = ca.server(NAME)
    pair.chmod(0o644)
    (tmp_path / "injector.yaml").write_text("image: skinflint:test\n")
    port = free_port()
    given = Container(
        (
            "injector",
            "--cert",
            "/tls",
            "--key",
            "/tls",
            "--config",
            "/injector.yaml",
            "--listen",
            f"127.0.0.1:{port}",
            "--linger",
            "0",
        ),
        read_only={"/tls": pair, "/injector.yaml": tmp_path / "injector.yaml"},
    )
    asked = [
        "curl",
        "-sf",
        "--cacert",
        str(ca.root),
        "--resolve",
        f"{NAME}:{port}:127.0.0.1",
        f"https://{NAME}:{port}/readyz",
    ]
    with started(image, tmp_path / "bundle", given) as process:
        wait_until(
            lambda: subprocess.run(asked, check=False, capture_output=True).returncode == 0,
            "the webhook is ready",
            process=process,
        )


def test_the_redirects_init_container_needs_one_capability(image: Image, network: Namespace, tmp_path: Path) -> None:
    mode = RedirectMode("skinflint", None, 19181, ipv6=True, exclude_cidrs=("169.254.169.254/32",))
    [init] = mode.before()
    command = init["command"]
    assert isinstance(command, list)
    given = Container(command=[str(each) for each in command], user=0, network=network.command())
    assert run(image, tmp_path / "without", given).returncode != 0
    with_it = Container(command=given.command, user=0, capabilities=["CAP_NET_ADMIN"], network=given.network)
    for again in ("first", "second"):
        done = run(image, tmp_path / again, with_it)
        assert done.returncode == 0, done
    assert network.run("nft", "list", "ruleset").count("redirect to :19181") == 1
