"""Where a running proxy can be found: DATA_DIR/runtime.json, for `skinflint env`, `cache` and the like.

Rules: nothing in it is secret; it appears whole; only the process that wrote it takes it away. A file whose process
is gone says nothing.
"""

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from proxy.edge.files import PUBLIC, write_whole

FILE_NAME: Final = "runtime.json"


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A listener with the address that it really has."""

    mode: str
    address: str  # HOST:PORT


@dataclass(frozen=True, slots=True)
class Runtime:
    """A running proxy."""

    pid: int
    version: str
    started_at: float  # seconds since the epoch
    listeners: tuple[BoundListener, ...]
    admin: str  # HOST:PORT
    ca: Path
    bundle: Path
    truststore: Path
    data_dir: Path

    @property
    def proxy_url(self) -> str | None:
        """What clients set as their proxy; None when no listener is a regular one."""
        regular = next((listener for listener in self.listeners if listener.mode == "regular"), None)
        return None if regular is None else f"http://{reachable(regular.address)}"


def reachable(address: str) -> str:
    """An address to connect to, for one that is bound: a wildcard is reached over loopback."""
    host, _, port = address.rpartition(":")
    return f"{ {'0.0.0.0': '127.0.0.1', '[::]': '[::1]', '': '127.0.0.1'}.get(host, host) }:{port}"  # noqa: S104


def write(runtime: Runtime, file: Path | None = None) -> None:
    """Make it known, in its data directory unless another file is given. Raises OSError."""
    target = file or runtime.data_dir / FILE_NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, json.dumps(asdict(runtime), default=str, indent=2).encode() + b"\n", PUBLIC)


def read(data_dir: Path) -> Runtime | None:
    """The running proxy of a data directory. None when there is none, or its process is gone."""
    return read_file(data_dir / FILE_NAME)


def read_file(file: Path) -> Runtime | None:
    """The same from a file of its own."""
    try:
        runtime = _parsed(json.loads(file.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):  # absent, or written by a version that kept other things
        return None
    return runtime if _is_alive(runtime.pid) else None


def remove(runtime: Runtime, file: Path | None = None) -> None:
    """Take it away, unless another proxy has written its own there meanwhile."""
    target = file or runtime.data_dir / FILE_NAME
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if _parsed(json.loads(target.read_bytes())).pid == runtime.pid:
            target.unlink(missing_ok=True)


def _parsed(fields: dict[str, object]) -> Runtime:
    listeners = fields["listeners"]
    if not isinstance(listeners, list):
        raise TypeError("listeners must be a list")
    return Runtime(
        pid=int(str(fields["pid"])),
        version=str(fields["version"]),
        started_at=float(str(fields["started_at"])),
        listeners=tuple(BoundListener(str(entry["mode"]), str(entry["address"])) for entry in listeners),
        admin=str(fields["admin"]),
        ca=Path(str(fields["ca"])),
        bundle=Path(str(fields["bundle"])),
        truststore=Path(str(fields["truststore"])),
        data_dir=Path(str(fields["data_dir"])),
    )


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True
