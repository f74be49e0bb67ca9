"""A real PostgreSQL server for tests, on a loopback port and in a folder of its own.

Rules: it does not run as root, keeps nothing safe against power cuts, and is stopped by its process id. Where there is
no PostgreSQL the tests are skipped.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.processes import free_port, running, wait_until

_OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=20")


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """Its user and database are called `skinflint`."""

    port: int
    password: str


def _folder() -> Path | None:
    """Where the newest server's programs are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    program = shutil.which("initdb")
    return Path(program).resolve().parent if program else None


def needs_postgres() -> pytest.MarkDecorator:
    """Skips what has no server to run against."""
    return pytest.mark.skipif(_folder() is None, reason="PostgreSQL is not installed")


@contextlib.contextmanager
def postgres_server(password: str) -> Iterator[PostgresServer]:
    """Run one until the block is left."""
    programs = _folder()
    assert programs is not None
    # Not pytest's folder, into which only its owner can look.
    with tempfile.TemporaryDirectory(prefix="sf-pg-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        before = _own(folder)
        (folder / "password").write_text(password)
        (folder / "password").chmod(0o644)
        data = str(folder / "data")
        made = [*before, str(programs / "initdb"), "-D", data, "-U", "skinflint", "--auth=scram-sha-256"]
        _run([*made, f"--pwfile={folder / 'password'}", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"])
        options = [part for option in _OPTIONS for part in ("-c", option)]
        places = ["-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", ""]
        with running([*before, str(programs / "postgres"), *places, *options], folder / "log") as process:
            asked = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            wait_until(lambda: subprocess.run(asked, check=False).returncode == 0, "it is ready", process=process)
            environ = {**os.environ, "PGPASSWORD": password}
            create = [str(programs / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "skinflint", "skinflint"]
            subprocess.run(create, check=True, env=environ)
            yield PostgresServer(port, password)


def _own(folder: Path) -> list[str]:
    """Give the folder to whom the server will run as; returns what stands before its command."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("postgres" if _exists("postgres") else "nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _exists(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
