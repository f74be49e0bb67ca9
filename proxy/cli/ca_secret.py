"""What `skinflint ca secret` does, as a Job in the cluster. See proxy/kubernetes/ca_secret.py."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from proxy.cli.failures import CommandFailed
from proxy.edge.ca import RENEW_BEFORE
from proxy.kubernetes.api import Api, ApiError, Place
from proxy.kubernetes.ca_secret import Kept, ensure_secret, publish


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for."""

    name: str
    namespace: str | None
    configmap: str | None
    hosts: tuple[str, ...]
    api: str | None
    account: Path


def ensure(wanted: Wanted, environ: Mapping[str, str], now: datetime) -> list[str]:
    """Do it; returns what to tell. Raises CommandFailed."""
    namespace = wanted.namespace or _own_namespace(wanted.account)
    try:
        place = Place.of(wanted.api, wanted.account / "token", wanted.account / "ca.crt", environ)
        kept, is_published = asyncio.run(_ensure(place, namespace, wanted, now))
    except (ApiError, ValueError) as exc:
        raise CommandFailed(str(exc)) from exc
    state = "is made" if kept.is_new else "is there already, and left as it is"
    lines = [f"The Secret {namespace}/{wanted.name} {state}. Its authority ends on {kept.ends:%Y-%m-%d}."]
    if kept.ends - now < RENEW_BEFORE:
        lines.append("That is soon: delete it, run this again, and have clients trust the new root.")
    if wanted.configmap is not None:
        written = "has the root now" if is_published else "has the root"
        lines.append(f"The ConfigMap {namespace}/{wanted.configmap} {written}.")
    return lines


async def _ensure(place: Place, namespace: str, wanted: Wanted, now: datetime) -> tuple[Kept, bool]:
    async with Api(place) as api:
        kept = await ensure_secret(api, namespace, wanted.name, wanted.hosts, now)
        if wanted.configmap is None:
            return kept, False
        return kept, await publish(api, namespace, wanted.configmap, kept.root)


def _own_namespace(account: Path) -> str:
    try:
        return (account / "namespace").read_text("utf-8").strip()
    except OSError as exc:
        raise CommandFailed("this is no pod with a service account: name the namespace with --namespace") from exc
