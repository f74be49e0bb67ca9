"""What stands ready for a group of troubles: the provider, servers, and proxies in front of them.

Rules: everything listens on loopback, has a folder of its own, and is stopped when its scene is left.
"""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.contestants import free_ports
from bench.processes import Program
from bench.reliability.disk_troubles import of_disk
from bench.reliability.place import Place
from bench.reliability.redis_troubles import of_cluster, of_one, of_sentinels
from bench.reliability.replica import Replica
from bench.reliability.trouble import Skipped, Trouble
from tests.support.redis_servers import redis_cluster, redis_server, watched_servers

REPLICAS: Final = 2
_DISK_MIB: Final = 96  # a cache of 32, one that was set aside, and what is written meanwhile
_ROOT: Final = Path(__file__).parents[2]
_ALL_CORES: Final = frozenset(range(os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class Provider:
    """Where it is."""

    address: str
    ca: Path

    def settings(self) -> dict[str, object]:
        """That lead a proxy to it."""
        return {"upstream": {"resolve": {"api.openai.com": self.address}, "extra_ca": [str(self.ca)]}}


@dataclass(frozen=True, slots=True)
class Scene:
    """A group of troubles, ready to be made."""

    tier: str  # whose use is looked at
    replicas: list[Replica]
    troubles: Sequence[Trouble | Skipped]


type MakeScene = Callable[[Path, Provider, Place, float], contextlib.AbstractContextManager[Scene]]


@contextlib.contextmanager
def provider(directory: Path) -> Iterator[Provider]:
    """Serve until the block is left. Raises BenchFailed."""
    directory.mkdir(parents=True, exist_ok=True)
    ready = directory / "ready.json"
    command = [sys.executable, "-P", "-m", "bench.reliability.provider", str(directory)]
    variables = {"PYTHONPATH": str(_ROOT)}
    with Program(command, core=_ALL_CORES, log=directory / "provider.log", variables=variables) as program:
        program.wait_until(ready.exists)
        yield Provider(f"127.0.0.1:{json.loads(ready.read_bytes())['port']}", directory / "ca.pem")


@contextlib.contextmanager
def _replicas(directory: Path, upstream: Provider, url: str) -> Iterator[list[Replica]]:
    settings = {**upstream.settings(), "cache": {"redis": {"url": url}, "disk": {"max_bytes": 0}}}
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(Replica(f"replica {number + 1}", directory / f"proxy-{number}", port, settings))
            for number, port in enumerate(free_ports(REPLICAS))
        ]


@contextlib.contextmanager
def one_redis(directory: Path, upstream: Provider, place: Place, seconds: float) -> Iterator[Scene]:
    """Replicas that share a single server."""
    with redis_server(directory / "redis") as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        with _replicas(directory, upstream, url) as replicas:
            yield Scene("redis", replicas, of_one(server, place, seconds))


@contextlib.contextmanager
def sentinels(directory: Path, upstream: Provider, place: Place, seconds: float) -> Iterator[Scene]:
    """Replicas that share a master with a replica of its own."""
    with (
        watched_servers(directory / "redis") as watched,
        _replicas(directory, upstream, watched.url) as replicas,
    ):
        yield Scene("redis", replicas, of_sentinels(watched))


@contextlib.contextmanager
def cluster(directory: Path, upstream: Provider, place: Place, seconds: float) -> Iterator[Scene]:
    """Replicas that share a cluster of three."""
    with (
        redis_cluster(directory / "redis") as servers,
        _replicas(directory, upstream, servers.url) as replicas,
    ):
        yield Scene("redis", replicas, of_cluster(servers, seconds))


@contextlib.contextmanager
def disk(directory: Path, upstream: Provider, place: Place, seconds: float) -> Iterator[Scene]:
    """One proxy whose answers are on disk alone."""
    kept = directory / "kept"
    with contextlib.ExitStack() as stack:
        if place.lacking:
            kept.mkdir(parents=True)
        else:
            stack.enter_context(place.small_disk(kept, _DISK_MIB))
        cache = kept / "cache.sqlite"
        settings = {
            **upstream.settings(),
            "cache": {"memory": {"max_bytes": 0}, "disk": {"path": str(cache), "max_bytes": 32 * 1024 * 1024}},
        }
        (port,) = free_ports(1)
        proxy = stack.enter_context(Replica("proxy", directory / "proxy", port, settings))
        yield Scene("disk", [proxy], of_disk(proxy, cache, place, seconds))


def redis_lacking() -> str:
    """Why there is no Redis here; empty when there is one."""
    missing = [tool for tool in ("redis-server", "redis-sentinel") if shutil.which(tool) is None]
    return f"needs {' and '.join(missing)}" if missing else ""


SCENES: Final[dict[str, MakeScene]] = {"redis": one_redis, "sentinel": sentinels, "cluster": cluster, "disk": disk}
