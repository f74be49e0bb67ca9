"""Real Redis servers for tests: one, one with TLS, a master with its replica and three sentinels, a cluster.

Rules: each has a folder and free ports of its own, writes nothing to disk, and is stopped by its process id. Where
`redis-server` is not installed the tests are skipped.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from tests.support.processes import environment, free_port, wait_until
from tests.support.x509 import TestCa

SERVICE = "answers"
_START_S = 20.0


def needs_redis() -> pytest.MarkDecorator:
    """Skips what has no server to run against."""
    is_missing = shutil.which("redis-server") is None or shutil.which("redis-sentinel") is None
    return pytest.mark.skipif(is_missing, reason="redis-server and redis-sentinel are not installed")


class RedisServer:
    """A process that can be killed, stopped for a while and started again. `options`: lines of its configuration."""

    def __init__(self, folder: Path, *options: str, ca: TestCa | None = None, program: str = "redis-server") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.ca = ca
        self.path = folder / "redis.sock"
        self._program = program
        lines = [f"port {self.port}", "bind 127.0.0.1 -::1", f"dir {folder}", *options]
        if program == "redis-server":
            lines += ['save ""', "appendonly no", f"unixsocket {self.path}", "enable-debug-command yes"]
        if ca is not None:
            pem = ca.server("127.0.0.1", "localhost")
            lines[0] = "port 0"
            lines += [
                f"tls-port {self.port}",
                f"tls-cert-file {pem}",
                f"tls-key-file {pem}",
                f"tls-ca-cert-file {ca.root}",
            ]
            self.client_pem = pem
        self.config = folder / "redis.conf"
        self.config.write_text("\n".join(lines) + "\n")
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._popen is not None
        return self._popen.pid

    @property
    def url(self) -> str:
        """For `cache.redis.url`."""
        return self.database(0)

    def database(self, number: int) -> str:
        """The URL of another database than the first."""
        return f"redis://127.0.0.1:{self.port}/{number}"

    @property
    def output(self) -> str:
        """What it has said."""
        return (self.folder / "process.log").read_text(errors="replace")

    def start(self, *, wait: bool = True) -> "RedisServer":
        """Run it, and wait until it accepts connections."""
        with (self.folder / "process.log").open("ab") as output:
            self._popen = subprocess.Popen(
                [self._program, str(self.config)],
                cwd=self.folder,
                env=environment(self.folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        if wait:
            wait_until(self.accepts, f"{self._program} accepts connections\n{self.output}", deadline_s=_START_S)
        return self

    def accepts(self) -> bool:
        """Somebody listens on its port."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """kill -9."""
        if self._popen is not None and self._popen.poll() is None:
            self._popen.send_signal(signal.SIGCONT)
            self._popen.kill()
            self._popen.wait()

    def freeze(self) -> None:
        """SIGSTOP: its connections stay, and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        os.kill(self.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def client(self, password: str | None = None) -> Iterator["redis.Redis[bytes]"]:
        """A client of its own, for what a test has to say to the server."""
        if self.path.exists():
            made = redis.Redis(unix_socket_path=str(self.path), password=password, protocol=2)
        else:
            made = redis.Redis(host="127.0.0.1", port=self.port, password=password, protocol=2)
        with made:
            yield made

    def info(self, section: str) -> dict[str, object]:
        """What INFO says."""
        with self.client() as client:
            return dict(client.info(section))

    def says(self, *command: str | bytes | int, password: str | None = None) -> object:
        """The answer to a command."""
        with self.client(password) as client:
            return client.execute_command(*command)


@contextlib.contextmanager
def redis_server(
    folder: Path, *options: str, ca: TestCa | None = None, program: str = "redis-server"
) -> Iterator[RedisServer]:
    """One server, until the block is left."""
    server = RedisServer(folder, *options, ca=ca, program=program)
    try:
        yield server.start()
    finally:
        server.kill()


@dataclass(frozen=True, slots=True)
class Watched:
    """A master, its replica, and three sentinels that watch them as `SERVICE`."""

    servers: list[RedisServer]
    sentinels: list[RedisServer]

    @property
    def url(self) -> str:
        """For `cache.redis.url`."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"sentinel://{hosts}/{SERVICE}/0"

    def knows_all(self, sentinel: RedisServer) -> bool:
        """A sentinel has found the others, and the replica."""
        with sentinel.client() as client:
            state = client.sentinel_master(SERVICE)
        return bool(state["num-other-sentinels"] == len(self.sentinels) - 1 and state["num-slaves"] == 1)


@contextlib.contextmanager
def watched_servers(folder: Path) -> Iterator[Watched]:
    """Until the block is left."""
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(redis_server(folder / f"server-{number}", "repl-diskless-sync-delay 0"))
            for number in range(2)
        ]
        servers[1].says("REPLICAOF", "127.0.0.1", servers[0].port)
        wait_until(lambda: servers[1].info("replication")["master_link_status"] == "up", "the replica follows")
        options = (
            f"sentinel monitor {SERVICE} 127.0.0.1 {servers[0].port} 2",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 3000",
        )
        sentinels = [
            stack.enter_context(redis_server(folder / f"sentinel-{number}", *options, program="redis-sentinel"))
            for number in range(3)
        ]
        watched = Watched(servers, sentinels)
        wait_until(lambda: all(map(watched.knows_all, sentinels)), "the sentinels know each other")
        yield watched


@dataclass(frozen=True, slots=True)
class Cluster:
    """Masters that share the slots."""

    servers: list[RedisServer]

    @property
    def url(self) -> str:
        """For `cache.redis.url`."""
        return "cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    def owner(self, slot: int) -> RedisServer:
        """Who serves it, as the first server says."""
        ranges = self.servers[0].says("CLUSTER", "SLOTS")
        assert isinstance(ranges, list)
        port = next(each[2][1] for each in ranges if each[0] <= slot <= each[1])
        return next(server for server in self.servers if server.port == port)

    def name(self, server: RedisServer) -> str:
        """The identity of a server in the cluster."""
        name = server.says("CLUSTER", "MYID")
        return name.decode() if isinstance(name, bytes) else str(name)

    def agrees(self) -> bool:
        """All servers know each other and all slots."""
        wanted = (b"cluster_state:ok", b"cluster_slots_assigned:16384", b"cluster_known_nodes:%d" % len(self.servers))
        for server in self.servers:
            said = server.says("CLUSTER", "INFO")
            assert isinstance(said, bytes)
            if not set(wanted) <= {*said.split()}:
                return False
        return True

    def move(self, slot: int, target: RedisServer) -> None:
        """Reshard one slot, with its keys."""
        source = self.owner(slot)
        target.says("CLUSTER", "SETSLOT", slot, "IMPORTING", self.name(source))
        source.says("CLUSTER", "SETSLOT", slot, "MIGRATING", self.name(target))
        with source.client() as client:
            while keys := client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for server in (target, source, *self.servers):
            server.says("CLUSTER", "SETSLOT", slot, "NODE", self.name(target))


@contextlib.contextmanager
def redis_cluster(folder: Path, count: int = 3) -> Iterator[Cluster]:
    """Until the block is left."""
    options = ("cluster-enabled yes", "cluster-node-timeout 2000", "cluster-require-full-coverage no")
    with contextlib.ExitStack() as stack:
        servers, buses = [], []
        for number in range(count):
            buses.append(free_port())
            server = redis_server(folder / f"server-{number}", *options, f"cluster-port {buses[-1]}")
            servers.append(stack.enter_context(server))
        cluster = Cluster(servers)
        for number, server in enumerate(servers):
            server.says("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            server.says("CLUSTER", "ADDSLOTSRANGE", number * 16384 // count, (number + 1) * 16384 // count - 1)
        for server, bus in zip(servers[1:], buses[1:], strict=True):
            servers[0].says("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        wait_until(cluster.agrees, "the cluster agrees")
        yield cluster
