"""Network namespaces for tests: a machine of its own, with its own loopback, hosts file and firewall.

Rules: names begin with `sf-` and this process's id, so that what is left behind can be found; only root can make them.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ETC = Path("/etc/netns")


def lacking() -> str:
    """Why namespaces cannot be made here; empty when they can."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [tool for tool in ("ip", "nft", "unshare") if shutil.which(tool) is None]
    if missing:
        return f"needs {' and '.join(missing)}"
    probe = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True)
    return "" if probe.returncode == 0 else "namespaces are not allowed here"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace by its name."""

    name: str

    @property
    def file(self) -> Path:
        """What threads enter it by."""
        return Path("/run/netns", self.name)

    def command(self, *arguments: str) -> list[str]:
        """A command line that runs in it."""
        return ["ip", "netns", "exec", self.name, *arguments]

    def run(self, *arguments: str, text: str = "") -> str:
        """Run a command in it to its end; returns its output."""
        done = subprocess.run(
            self.command(*arguments), input=text, check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def firewall(self, rules: str) -> None:
        """Load nft rules."""
        self.run("nft", "-f", "-", text=rules)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"ip {arguments}: {done.stderr}"


@contextlib.contextmanager
def namespace(label: str, etc: dict[str, str] | None = None) -> Iterator[Namespace]:
    """A namespace whose loopback is up. `etc`: files that stand over those of /etc in it."""
    name = f"sf-{os.getpid()}-{label}"
    folder = _ETC / name
    had_etc = _ETC.exists()
    _ip("netns", "add", name)
    try:
        if etc:
            folder.mkdir(parents=True)
            for file, text in etc.items():
                (folder / file).write_text(text)
        _ip("-n", name, "link", "set", "lo", "up")
        yield Namespace(name)
    finally:
        _ip("netns", "del", name)
        shutil.rmtree(folder, ignore_errors=True)
        if not had_etc:
            with contextlib.suppress(OSError):
                _ETC.rmdir()


def left_behind() -> list[str]:
    """Namespaces that this process made and did not delete."""
    folder = Path("/run/netns")
    return sorted(each.name for each in folder.glob(f"sf-{os.getpid()}-*")) if folder.exists() else []
