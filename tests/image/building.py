"""Builds the image as the Dockerfile says, without a daemon and without a registry.

The base is made by mmdebstrap from the mirror that this machine's apt uses, the wheels come from pip's own index once.
Both are kept under build/image, and so is the image, by a digest of all that goes into it: it is built again only when
that has changed. Needs root, buildah and mmdebstrap.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import ROOT

BUILD = ROOT / "build" / "image"
_BASE = "debian:trixie-slim"  # the Dockerfile's default
_SUITE = "trixie"
_PACKAGES = "binutils,ca-certificates,libstdc++6,nftables,python3,python3-venv"
_LOCKS = ("run", "build", "postgresql")
_SOURCES = (
    "Dockerfile",
    ".dockerignore",
    "pyproject.toml",
    "README.md",
    "requirements",
    "deploy/image",
    "proxy",
    "addons",
    "config",
)
_TOOLS = ("buildah", "mmdebstrap", "crun", "unshare")
_DEADLINE_S = 600


@dataclass(frozen=True, slots=True)
class Image:
    """An image, mounted twice: to be looked at, and to be run, for a runtime makes the places of mounts in it."""

    root: Path
    live_root: Path
    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    health: tuple[str, ...]
    environment: tuple[str, ...]
    labels: dict[str, str]

    def path(self, inside: str) -> Path:
        """Where a file of the image is."""
        return self.root / inside.lstrip("/")


def lacking() -> str:
    """Why images cannot be built here; empty when they can."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return f"needs {', '.join(missing)}" if missing else ""


def build() -> Image:
    """Build it, unless it has been built, and mount it. `release` afterwards."""
    BUILD.mkdir(parents=True, exist_ok=True)
    tag = f"skinflint:{_digest_of_sources()}"
    if tag not in _tags():
        _import_base()
        for other in _tags():
            if other.startswith("skinflint:"):
                _buildah("rmi", other)
        _buildah(
            *(
                "build",
                "--isolation",
                "chroot",
                "--pull=never",
                "--layers=false",
                "--timestamp",
                "0",
                "--format",
                "docker",
            ),
            *("--volume", f"{_wheels()}:/wheels:ro", "--build-arg", "PIP_NO_INDEX=1"),
            *("--build-arg", "PIP_FIND_LINKS=/wheels", "--build-arg", "VERSION=0.0.0-test"),
            *("--build-arg", "REVISION=0123abc", "-t", tag, str(ROOT)),
        )
    return _mounted(tag)


def release() -> None:
    """Unmount whatever is mounted; the image stays."""
    _buildah("rm", "--all")


def _mounted(tag: str) -> Image:
    told = json.loads(_buildah("inspect", "--type", "image", tag))
    config = told["OCIv1"]["config"]
    roots = [Path(_buildah("mount", _buildah("from", "--pull=never", tag).strip()).strip()) for _ in range(2)]
    return Image(
        root=roots[0],
        live_root=roots[1],
        user=config["User"],
        entrypoint=tuple(config["Entrypoint"]),
        command=tuple(config["Cmd"]),
        health=tuple(told["Docker"]["config"]["Healthcheck"]["Test"][1:]),
        environment=tuple(config["Env"]),
        labels=config["Labels"],
    )


def _buildah(*arguments: str) -> str:
    return _run(["buildah", "--root", str(BUILD / "storage"), "--runroot", str(BUILD / "run"), *arguments])


def _tags() -> list[str]:
    names = _buildah("images", "--format", "{{.Name}}:{{.Tag}}").split()
    return [name.removeprefix("localhost/") for name in names]


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_DEADLINE_S)
    assert done.returncode == 0, f"{command[:8]}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def _digest_of_sources() -> str:
    digest = hashlib.sha256(_PACKAGES.encode())
    for source in _SOURCES:
        below = ROOT / source
        for path in sorted(below.rglob("*")) if below.is_dir() else [below]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _import_base() -> None:
    if _BASE in _tags():
        return
    folder = BUILD / "base"
    folder.mkdir(exist_ok=True)
    options = ["--quiet", "--variant=essential", f"--include={_PACKAGES}"]
    _run(["mmdebstrap", *options, _SUITE, str(folder / "base.tar"), *_mirror()])
    (folder / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
    _buildah("build", "--isolation", "chroot", "--pull=never", "-t", _BASE, str(folder))
    shutil.rmtree(folder)


def _mirror() -> list[str]:
    """Where this machine's apt gets Debian from; nothing where it does not say."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages"]
    lines = [line.rpartition(" ") for line in _run(asked).splitlines()]
    return [uri for uri, _, label in lines if label == "Debian"][:1]


def _wheels() -> Path:
    """A folder with a wheel for each line of the locks."""
    locks = [ROOT / "requirements" / f"{name}.txt" for name in _LOCKS]
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:16]
    folder = BUILD / f"wheels-{digest}"
    if not folder.exists():
        half = folder.with_suffix(".part")
        for lock in locks:
            options = [
                "-q",
                "--no-deps",
                "--require-hashes",
                "--only-binary",
                ":all:",
                "-d",
                str(half),
                "-r",
                str(lock),
            ]
            _run([sys.executable, "-m", "pip", "download", *options])
        half.rename(folder)
    return folder
