"""A Secret with a certificate authority for replicas to share, made once and then left alone.

Rules: what exists is never changed, whatever it holds: clients trust it. Who makes it at the same moment wins, and the
others take what is there. The public half may go into a ConfigMap too, and is kept true there.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from proxy.edge.ca import ROOT_FILE, files_of, mint
from proxy.edge.constraints import Permitted
from proxy.edge.provided_ca import CERT_MANAGERS
from proxy.injector.document import Object, section
from proxy.kubernetes.api import Api, ApiError

PUBLIC_KEY: Final = "ca.crt"  # in the ConfigMap
_LABELS: Final[Object] = {"app.kubernetes.io/name": "skinflint", "app.kubernetes.io/managed-by": "skinflint"}
_MISSING: Final = 404
_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True)
class Kept:
    """What is in the Secret."""

    is_new: bool
    root: bytes
    ends: datetime


async def ensure_secret(api: Api, namespace: str, name: str, hosts: Sequence[str], now: datetime) -> Kept:
    """The authority in the Secret, made if there is none. Raises ApiError, or ValueError for hosts that cannot be."""
    path = f"/api/v1/namespaces/{namespace}/secrets"
    try:
        return _kept(await api.ask("GET", f"{path}/{name}"), name)
    except ApiError as failure:
        if failure.status != _MISSING:
            raise
    made = mint(Path(name), Permitted.of_hosts(hosts), now)
    data: Object = {file: base64.b64encode(content).decode() for file, content in files_of(made).items()}
    wanted: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": _LABELS},
        "type": "Opaque",
        "data": data,
    }
    try:
        await api.ask("POST", path, wanted)
    except ApiError as failure:
        if failure.status != _CONFLICT:
            raise
        return _kept(await api.ask("GET", f"{path}/{name}"), name)
    return Kept(True, made.root_pem, made.intermediate.not_valid_after_utc)


async def publish(api: Api, namespace: str, name: str, root: bytes) -> bool:
    """The public half in a ConfigMap; True when something was changed. Raises ApiError."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    said: Object = {PUBLIC_KEY: root.decode("ascii")}
    try:
        found = await api.ask("GET", f"{path}/{name}")
    except ApiError as failure:
        if failure.status != _MISSING:
            raise
        metadata: Object = {"name": name, "namespace": namespace, "labels": _LABELS}
        wanted: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": said}
        try:
            await api.ask("POST", path, wanted)
        except ApiError as second:
            if second.status != _CONFLICT:
                raise
        else:
            return True
        found = await api.ask("GET", f"{path}/{name}")
    if section(found, "data").get(PUBLIC_KEY) == said[PUBLIC_KEY]:
        return False
    await api.ask("PATCH", f"{path}/{name}", {"data": said})
    return True


def _kept(secret: Object, name: str) -> Kept:
    data = section(secret, "data")
    for root_file, issuer_file, key_file in ((ROOT_FILE, "intermediate.pem", "intermediate.key"), CERT_MANAGERS):
        issuer, key = _decoded(data, issuer_file), _decoded(data, key_file)
        root = _decoded(data, root_file) or issuer
        if issuer and key and root:
            try:
                ends = min(x509.load_pem_x509_certificate(each).not_valid_after_utc for each in (root, issuer))
            except ValueError as exc:
                raise ApiError(0, f"the Secret {name} holds no certificate in PEM; it is left as it is") from exc
            return Kept(False, root, ends)
    raise ApiError(0, f"the Secret {name} exists, but holds no certificate authority; it is left as it is")


def _decoded(data: Object, key: str) -> bytes:
    value = data.get(key)
    if not isinstance(value, str):
        return b""
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return b""
