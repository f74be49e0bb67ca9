"""Runs commands in an image as a kubelet does: by an OCI runtime, without capabilities, with a read-only root.

Rules: the network is the test's (or a namespace's); the image's own entry point, variables and user are used unless a
test names others; what is written goes to the volumes that the test gives.
"""

import contextlib
import itertools
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.image.building import Image
from tests.support.processes import RunningProcess, environment, running

# crun looks at /sys/fs/cgroup, and knows only machines that have one kind of control groups there. None is used.
_ALONE = (
    "umount -R -l /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /sys/fs/cgroup; "
    'exec crun --cgroup-manager=disabled --root "$0/state" run --bundle "$0" "$1" 2>&1'
)
_NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True)
class Container:
    """What to run, and what it is given. `args` follow the entry point; `command` stands in its place."""

    args: Sequence[str] = ()
    command: Sequence[str] | None = None
    user: int = 1337
    capabilities: Sequence[str] = ()
    volumes: Mapping[str, Path] = field(default_factory=dict)  # by where they are seen; all but those in `read_only`
    read_only: Mapping[str, Path] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    network: Sequence[str] = ()  # what stands before a command, so that it is in another network


def command_line(image: Image, directory: Path, container: Container) -> list[str]:
    """Write the container's bundle, and say how to run it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(_bundle(image, container)))
    name = f"skinflint-test-{next(_NUMBERS)}"
    return [*container.network, "unshare", "--mount", "sh", "-c", _ALONE, str(directory), name]


def run(image: Image, directory: Path, container: Container) -> subprocess.CompletedProcess[str]:
    """Run to its end."""
    command = command_line(image, directory, container)
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@contextlib.contextmanager
def started(image: Image, directory: Path, container: Container) -> Iterator[RunningProcess]:
    """Run until the block is left."""
    with running(command_line(image, directory, container), directory, environment(directory)) as process:
        yield process


def state(directory: Path) -> Path:
    """A volume that the image's user may write to."""
    directory.mkdir(parents=True)
    directory.chmod(0o700)
    subprocess.run(["chown", "1337:1337", str(directory)], check=True)
    return directory


def _bundle(image: Image, container: Container) -> dict[str, object]:
    sets = ("bounding", "effective", "inheritable", "permitted", "ambient")
    begin = container.command if container.command is not None else image.entrypoint
    variables = dict(each.split("=", 1) for each in image.environment) | dict(container.variables)
    return {
        "ociVersion": "1.0.2",
        "process": {
            "args": [*begin, *container.args],
            "cwd": "/",
            "env": [f"{name}={value}" for name, value in variables.items()],
            "user": {"uid": container.user, "gid": container.user},
            "capabilities": {each: list(container.capabilities) for each in sets},
            "noNewPrivileges": True,
        },
        "root": {"path": str(image.live_root), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "mode=1777"]},
            *(_mount(file, Path(file), "ro") for file in ("/etc/hosts", "/etc/resolv.conf")),  # as runtimes make them
            *(_mount(inside, outside, "rw") for inside, outside in container.volumes.items()),
            *(_mount(inside, outside, "ro") for inside, outside in container.read_only.items()),
        ],
        "linux": {"namespaces": [{"type": each} for each in ("pid", "ipc", "uts", "mount")]},
    }


def _mount(inside: str, outside: Path, option: str) -> dict[str, object]:
    return {"destination": inside, "type": "bind", "source": str(outside), "options": ["rbind", option]}
