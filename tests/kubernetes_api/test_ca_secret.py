"""An authority in a Secret: made once, whoever makes it, and kept as it is."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.cli.ca_secret import Wanted, ensure
from proxy.cli.failures import CommandFailed
from proxy.edge.ca import LIFETIME
from proxy.edge.provided_ca import load_provided
from proxy.injector.document import Object
from proxy.kubernetes.api import Api, ApiError, Place
from proxy.kubernetes.ca_secret import ensure_secret, publish
from tests.support.kube_api import KubeApi, kube_api

NOW = datetime.now(UTC).replace(microsecond=0)
SECRET = "/api/v1/namespaces/skinflint/secrets/ca"
CONFIGMAP = "/api/v1/namespaces/skinflint/configmaps/public"
HOSTS = ("api.openai.com", "llm.internal")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[KubeApi]:
    async with kube_api(tmp_path) as running:
        yield running


def place(api: KubeApi) -> Place:
    return Place(api.url, api.account / "token", api.account / "ca.crt")


def mounted(secret: Object, folder: Path) -> Path:
    """The Secret as the kubelet mounts it."""
    data = secret["data"]
    assert isinstance(data, dict)
    folder.mkdir()
    for name, value in data.items():
        (folder / name).write_bytes(base64.b64decode(str(value)))
        (folder / name).chmod(0o440)
    return folder


async def test_it_is_made_once_and_can_be_mounted(api: KubeApi, tmp_path: Path) -> None:
    async with Api(place(api)) as session:
        first = await ensure_secret(session, "skinflint", "ca", HOSTS, NOW)
        second = await ensure_secret(session, "skinflint", "ca", HOSTS, NOW)
    assert (first.is_new, second.is_new, first.root) == (True, False, second.root)
    authority = load_provided(mounted(api.objects[SECRET], tmp_path / "mounted"), NOW)
    assert authority.permitted.names == frozenset(HOSTS)
    assert authority.root_pem == first.root
    assert second.ends == NOW + LIFETIME


async def test_who_is_second_takes_what_is_there(api: KubeApi) -> None:
    async with Api(place(api)) as session:
        other = await ensure_secret(session, "skinflint", "ca", HOSTS, NOW)
        api.raced = api.objects.pop(SECRET)
        kept = await ensure_secret(session, "skinflint", "ca", HOSTS, NOW)
    assert (kept.is_new, kept.root) == (False, other.root)


async def test_a_secret_with_something_else_in_it_is_left_alone(api: KubeApi) -> None:
    api.objects[SECRET] = {"metadata": {"name": "ca"}, "data": {"password": "eA=="}}
    before = str(api.objects)
    async with Api(place(api)) as session:
        with pytest.raises(ApiError, match="left as it is"):
            await ensure_secret(session, "skinflint", "ca", HOSTS, NOW)
    assert str(api.objects) == before
    assert {method for method, _, _ in api.asked} == {"GET"}


async def test_the_root_is_published_and_kept_true(api: KubeApi) -> None:
    async with Api(place(api)) as session:
        assert await publish(session, "skinflint", "public", b"one")
        assert not await publish(session, "skinflint", "public", b"one")
        assert await publish(session, "skinflint", "public", b"two")
    assert api.objects[CONFIGMAP]["data"] == {"ca.crt": "two"}


async def test_what_the_api_forbids_is_said(api: KubeApi) -> None:
    api.forbids.add(f"GET {SECRET}")
    async with Api(place(api)) as session:
        with pytest.raises(ApiError, match="403"):
            await ensure_secret(session, "skinflint", "ca", HOSTS, NOW)


async def test_the_command(api: KubeApi, tmp_path: Path) -> None:
    wanted = Wanted("ca", None, "public", HOSTS, api.url, api.account)
    first = await asyncio.to_thread(ensure, wanted, {}, NOW)
    again = await asyncio.to_thread(ensure, wanted, {}, NOW + LIFETIME - timedelta(days=3))
    assert first[0].startswith("The Secret skinflint/ca is made.")
    assert first[1] == "The ConfigMap skinflint/public has the root now."
    assert again[0].startswith("The Secret skinflint/ca is there already")
    assert again[1].startswith("That is soon")
    api.fails = True
    with pytest.raises(CommandFailed, match="500"):
        await asyncio.to_thread(ensure, wanted, {}, NOW)
    with pytest.raises(CommandFailed, match="--namespace"):
        ensure(Wanted("ca", None, None, HOSTS, api.url, tmp_path), {}, NOW)
