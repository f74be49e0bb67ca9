"""A place of our own for the run: a network whose packets may be dropped, and small disks that may be full.

Rules: Linux, root. The namespaces are this process's and its children's, and go with them: nothing of the machine is
changed. Where they cannot be had `lacking` says why, and what needs them is left out.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.failures import BenchFailed

_TABLE: Final = "inet skinflint_partition"


@dataclass(frozen=True, slots=True)
class Place:
    """`lacking`: why there is none; empty when there is one."""

    lacking: str

    def cut_off(self, port: int) -> None:
        """From now on no packet to or from this port arrives, and nobody is told."""
        drops = f"tcp dport {port} drop\n    tcp sport {port} drop"
        chain = f"  chain wire {{\n    type filter hook input priority 0; policy accept;\n    {drops}\n  }}"
        self._firewall(f"table {_TABLE} {{\n{chain}\n}}\n")

    def join(self) -> None:
        """Packets arrive again."""
        self._firewall(f"delete table {_TABLE}")

    @contextlib.contextmanager
    def small_disk(self, directory: Path, mib: int) -> Iterator[None]:
        """A file system of this size in memory, until the block is left."""
        directory.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "skinflint", str(directory))
        try:
            yield
        finally:
            _run("umount", "--lazy", str(directory))

    def make_read_only(self, directory: Path) -> None:
        """Nothing may have a file open for writing there."""
        _run("mount", "-o", "remount,ro", str(directory))

    def make_writable(self, directory: Path) -> None:
        """As before."""
        _run("mount", "-o", "remount,rw", str(directory))

    @staticmethod
    def _firewall(rules: str) -> None:
        try:
            subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True, capture_output=True, timeout=30)
        except subprocess.CalledProcessError as failure:
            raise BenchFailed(f"nft: {failure.stderr}") from failure


def enter() -> Place:
    """Move this process to a place of its own, if it may; to be called before there are threads or children."""
    if os.geteuid() != 0:
        return Place("needs root")
    if missing := [tool for tool in ("ip", "nft", "mount", "umount") if shutil.which(tool) is None]:
        return Place(f"needs {' and '.join(missing)}")
    try:
        os.unshare(os.CLONE_NEWNET | os.CLONE_NEWNS)
    except OSError as failure:
        return Place(f"namespaces are not allowed here: {failure.strerror}")
    try:
        _run("ip", "link", "set", "lo", "up")
        _run("mount", "--make-rprivate", "/")
    except subprocess.CalledProcessError as failure:
        return Place(f"namespaces cannot be used here: {failure.stderr}")
    return Place("")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
