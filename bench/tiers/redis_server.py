"""A real Redis for a run: on loopback and on a Unix socket, nothing on disk, stopped at the end."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import redis

from bench.contestants import free_ports, listens
from bench.processes import LOAD_CORE, Program

MISSING: Final = "redis-server is not installed"
_PROGRAM: Final = "redis-server"
_LEAST_CORES: Final = 3  # the proxy's, the load's, and its own


def is_installed() -> bool:
    """Is there a Redis to measure?"""
    return shutil.which(_PROGRAM) is not None


def core(cores: int) -> tuple[int, str]:
    """Which core it has on a machine of so many, and the words for it. Never the proxy's."""
    if cores >= _LEAST_CORES:
        return LOAD_CORE + 1, "on a core of its own"
    return LOAD_CORE, "on the core of the load generator and the upstream"


class RedisServer:
    """One that runs."""

    def __init__(self, directory: Path, port: int, program: Program) -> None:
        self.port = port
        self.path = directory / "redis.sock"
        self._program = program

    def tcp_url(self, database: int = 0) -> str:
        """Over loopback."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def unix_url(self) -> str:
        """Over its socket."""
        return f"unix://{self.path}"

    def empty(self) -> None:
        """Forget everything, now."""
        with redis.Redis(host="127.0.0.1", port=self.port, protocol=2) as client:
            client.flushall()


@contextlib.contextmanager
def redis_server(directory: Path) -> Iterator[RedisServer | None]:
    """One of the run's own; None where none is installed. `directory` is its own, and empty."""
    if not is_installed():
        yield None
        return
    (port,) = free_ports(1)
    command = [_PROGRAM, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), "--save", ""]
    command += ["--appendonly", "no", "--unixsocket", str(directory / "redis.sock")]
    with Program(command, core=core(os.cpu_count() or 1)[0], log=directory / "log") as program:
        program.wait_until(lambda: listens(port))
        yield RedisServer(directory, port, program)
