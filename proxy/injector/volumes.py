"""The volumes of an injected pod: the key's and the operator's Secrets, which the sidecar alone mounts, and the public
files', which all do.

Rules: files of Secrets are root's and of mode 0440, as checks of private keys want them (libpq's too). Who may read
them is their group: the pod's fsGroup, or else root's, which is then the sidecar's (`sidecar.py`).
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

from config.injector import FILES_DIR, SecretFiles
from proxy.edge.trust import BUNDLE_FILE
from proxy.injector import names
from proxy.injector.document import Json, Object, covers, sections, text
from proxy.injector.wishes import RefusedError

# Where distributions' programs look for all their roots: Debian and Alpine, Fedora, and what OpenSSL calls its default.
SYSTEM_STORES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


_SECRET_MODE: Final = 0o440


def volumes(extra_ca: str, secret_files: Mapping[str, SecretFiles]) -> list[Object]:
    """What the pod gets. `extra_ca`: a ConfigMap with roots, or empty."""
    found: list[Object] = [
        {"name": names.DATA_VOLUME, "emptyDir": {}},
        {"name": names.CA_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}},
        {"name": names.TRUST_VOLUME, "emptyDir": {"sizeLimit": "16Mi"}},
    ]
    if extra_ca:
        items: list[Json] = [{"key": names.EXTRA_CA_KEY, "path": names.EXTRA_CA_KEY}]
        found.append({"name": names.EXTRA_CA_VOLUME, "configMap": {"name": extra_ca, "items": items}})
    return [*found, *(_secret(folder, files) for folder, files in secret_files.items())]


def _secret(folder: str, files: SecretFiles) -> Object:
    volume: Object = {"secretName": files.name, "optional": files.optional, "defaultMode": _SECRET_MODE}
    if files.items:
        volume["items"] = [{"key": key, "path": file} for file, key in files.items.items()]
    return {"name": names.FILES_VOLUME + folder, "secret": volume}


def sidecar_mounts(extra_ca: str, secret_files: Mapping[str, SecretFiles]) -> list[Json]:
    """What the sidecar mounts. Its root file system is read-only."""
    found: list[Json] = [
        {"name": names.DATA_VOLUME, "mountPath": names.DATA_DIR},
        {"name": names.CA_VOLUME, "mountPath": names.CA_DIR},
        {"name": names.TRUST_VOLUME, "mountPath": names.TRUST_DIR},
    ]
    if extra_ca:
        found.append({"name": names.EXTRA_CA_VOLUME, "mountPath": names.EXTRA_CA_DIR, "readOnly": True})
    # Whole folders: the kubelet renews no single files.
    secrets: list[Json] = [
        {"name": names.FILES_VOLUME + folder, "mountPath": f"{FILES_DIR}/{folder}", "readOnly": True}
        for folder in secret_files
    ]
    return found + secrets


def additions(name: str, container: Object, system_store: bool) -> tuple[list[Json], list[str]]:
    """The mounts to add to a container of the application, and warnings. Raises RefusedError."""
    mounts = sections(container, "volumeMounts")
    added: list[Json] = []
    warnings: list[str] = []
    for mount in (_trust_mount(), *(_overlay(path) for path in SYSTEM_STORES if system_store)):
        path = text(mount, "mountPath")
        if any(covers(each, mount) for each in mounts):
            continue
        if not (_hiding(path, mounts)):
            added.append(mount)
        elif path == names.TRUST_DIR:
            raise RefusedError(f"container {name} mounts something else at {path}, where Skinflint's roots belong")
        else:
            warnings.append(f"container {name} has a mount at {path} or above it: that store is left as it is")
    return added, warnings


def _trust_mount() -> Object:
    return {"name": names.TRUST_VOLUME, "mountPath": names.TRUST_DIR, "readOnly": True}


def _overlay(path: str) -> Object:
    return {"name": names.TRUST_VOLUME, "mountPath": path, "subPath": BUNDLE_FILE, "readOnly": True}


def _hiding(path: str, mounts: list[Object]) -> bool:
    """Does another mount stand at this path or above it, where ours could not be put into it?"""
    wanted = PurePosixPath(path)
    return any(wanted.is_relative_to(PurePosixPath(text(each, "mountPath") or "/nowhere")) for each in mounts)
