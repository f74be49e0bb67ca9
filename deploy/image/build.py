"""`make image`: builds the image with docker, podman or buildah, whichever there is, and measures it.

Whatever is given is handed to the build: `make image IMAGE_ARGS="--build-arg EXTRAS='postgresql semantic'"`. ENGINE
chooses one of the three, TAG the image's name (skinflint:VERSION).
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_ENGINES = ("docker", "podman", "buildah")
_STATE = "/var/lib/skinflint"
_ALONE = ("--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
_MIB = 1024 * 1024


def engine() -> str:
    """The first that works here."""
    wanted = os.environ.get("ENGINE")
    for name in [wanted] if wanted else _ENGINES:
        works = shutil.which(name) and subprocess.run([name, "info"], check=False, capture_output=True).returncode == 0
        if works:
            return name
    sys.exit(f"no {wanted or ', '.join(_ENGINES)} works here")


def revision() -> str:
    """The commit that is built, with a sign if something was changed since."""
    asked = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(asked, check=False, capture_output=True, text=True)
    return done.stdout.strip()


def build(name: str, tag: str, version: str, more: list[str]) -> None:
    """Build it."""
    own = ["--isolation", "chroot", "--format", "docker"] if name == "buildah" else []
    arguments = ["--build-arg", f"VERSION={version}", "--build-arg", f"REVISION={revision()}", "-t", tag]
    done = subprocess.run([name, "build", *own, *arguments, *more, str(_ROOT)], check=False)
    if done.returncode:
        sys.exit(
            f"{name} build: status {done.returncode}; its reason is above. Without a way to registries, "
            "IMAGE_ARGS says where from (docs/image.md, How it is built)"
        )


def probe(name: str, tag: str) -> dict[str, float]:
    """Run the probe in it."""
    python = ["python3", "-c", (Path(__file__).with_name("probe.py")).read_text(encoding="utf-8")]
    if name == "buildah":
        with _container(tag) as container:
            command = ["buildah", "run", "--isolation", "chroot", container, "--", *python]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
    else:
        tmpfs = f"{_STATE}:mode=1777"
        command = [name, "run", "--rm", *_ALONE, "--tmpfs", tmpfs, "--entrypoint", python[0], tag, *python[1:]]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


@contextmanager
def _container(tag: str) -> Iterator[str]:
    made = subprocess.run(["buildah", "from", "--pull-never", tag], check=True, capture_output=True, text=True)
    try:
        yield made.stdout.strip()
    finally:
        subprocess.run(["buildah", "rm", made.stdout.strip()], check=True, capture_output=True)


def packed_bytes(name: str, tag: str) -> int:
    """How much a registry sends: its archive, compressed."""
    save = [name, "push", "-q", tag, "docker-archive:/dev/stdout"] if name == "buildah" else [name, "save", tag]
    packer, total = zlib.compressobj(6), 0
    with subprocess.Popen(save, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while piece := process.stdout.read(_MIB):
            total += len(packer.compress(piece))
    if process.returncode:
        sys.exit(f"{save}: status {process.returncode}")
    return total + len(packer.flush())


def main(more: list[str]) -> None:
    """Build and tell."""
    version = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    tag = os.environ.get("TAG", f"skinflint:{version}")
    name = engine()
    build(name, tag, version, more)
    figures = probe(name, tag)
    print(f"\n{tag}, built by {name}\n\n| | |\n|---|---:|")
    print(f"| unpacked | {figures['bytes'] / _MIB:.0f} MiB |")
    print(f"| as it is sent | {packed_bytes(name, tag) / _MIB:.0f} MiB |")
    print(f"| ready after | {figures['ready_ms']:.0f} ms |")
    print(f"| without compiled modules | {figures['ready_uncompiled_ms']:.0f} ms |")
    print(f"| memory then (PSS) | {figures['pss_mib']:.0f} MiB |")


if __name__ == "__main__":
    main(sys.argv[1:])
