"""Which clients come here, and what gives a container's runtime away."""

import pytest

from config.injector import MODES
from proxy.cli.pod.clients import BYPASSES, CLIENTS, clients_of, families
from proxy.edge.runtimes import describe


@pytest.mark.parametrize(
    ("image", "command", "found"),
    [
        ("registry.example:5000/team/python:3.13-slim", (), ("python",)),
        ("python@sha256:0123abc", (), ("python",)),
        ("node:20", (), ("node",)),
        ("eclipse-temurin:17-jre", (), ("java",)),
        ("ghcr.io/org/app:1", ("/usr/bin/python3", "-m", "app"), ("python",)),
        ("ghcr.io/org/app:1", ("/venv/bin/gunicorn", "app"), ("python",)),
        ("oven/bun:1", (), ("bun",)),
        ("mcr.microsoft.com/dotnet/aspnet:8.0", (), ("dotnet",)),
        ("mongo:7", (), ()),
        ("ghcr.io/golang-org/app:1", (), ()),
        ("", (), ()),
    ],
)
def test_images_and_commands_give_runtimes_away(image: str, command: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert families(image, command) == found


def test_only_mode_env_is_bypassed_by_who_reads_no_variable() -> None:
    bypassing = {mode: [each.name for each in CLIENTS if each.way(mode)] for mode in MODES}
    assert bypassing == {"hosts": [], "env": ["aiohttp", "urllib3 alone", "streams"], "redirect": []}
    assert set(BYPASSES) == set(MODES)


def test_all_variables_are_those_that_containers_get() -> None:
    known = {each.name for each in describe()}
    for client in CLIENTS:
        assert {*client.needs("env"), *client.needs("hosts")} <= known
        assert len(list(clients_of([client.family]))) >= 1
