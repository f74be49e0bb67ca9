"""The troubles of one Redis, of one that sentinels watch, and of a cluster.

Rules: each leaves its servers as it found them. `seconds`: how long one lasts, where that can be chosen.
"""

import time
from collections.abc import Callable
from typing import Final

from bench.failures import BenchFailed
from bench.reliability.place import Place
from bench.reliability.trouble import Skipped, Trouble
from tests.support.redis_servers import SERVICE, Cluster, RedisServer, Watched

_FAILOVER_S: Final = 30.0
_POLL_S: Final = 0.02


def of_one(server: RedisServer, place: Place, seconds: float) -> list[Trouble | Skipped]:
    """A single server."""

    def kill() -> float:
        server.kill()
        time.sleep(seconds)
        server.start()
        return time.monotonic()

    def pause() -> float:
        server.says("CLIENT", "PAUSE", round(seconds * 1000), "ALL")
        time.sleep(seconds)
        return time.monotonic()

    def sleep() -> float:
        server.says("DEBUG", "SLEEP", f"{seconds:.1f}")
        return time.monotonic()

    def full() -> float:
        server.says("CONFIG", "SET", "maxmemory", "1mb")
        time.sleep(seconds)
        server.says("CONFIG", "SET", "maxmemory", "0")
        return time.monotonic()

    def partition() -> float:
        place.cut_off(server.port)
        time.sleep(seconds)
        place.join()
        return time.monotonic()

    cut = "Redis is cut off: packets are dropped both ways, no RST"
    return [
        Trouble(
            "kill",
            "kill -9 of Redis, which comes back empty",
            kill,
            "Nothing. Calls under way to Redis fail at once and count as misses; later ones are not made.",
            "Each replica looks again after 0.1 s, then more and more rarely, at least every 5 s. The fleet's key is "
            "put back by the first that notices.",
        ),
        Trouble(
            "pause",
            "CLIENT PAUSE",
            pause,
            "Up to `cache.redis.read_timeout_s` (20 ms), once a lane and a look; then nothing.",
            "As after a kill. What Redis held is there again.",
        ),
        Trouble(
            "sleep",
            "DEBUG SLEEP: Redis is busy with one command",
            sleep,
            "As with CLIENT PAUSE.",
            "As after a kill. What Redis held is there again.",
        ),
        Trouble(
            "maxmemory",
            "Redis is full (`maxmemory`, `noeviction`)",
            full,
            "Nothing. Answers in Redis are still given; new ones are kept by each replica alone.",
            "A write is tried again after 0.1 s, then more and more rarely, at least every 5 s.",
        ),
        Skipped(cut, place.lacking)
        if place.lacking
        else Trouble(
            "partition",
            cut,
            partition,
            "Up to `cache.redis.read_timeout_s` (20 ms), once a lane; then nothing.",
            "A connection is tried anew, for `connect_timeout_s` (1 s) at most, at least every 5 s in between.",
        ),
    ]


def of_sentinels(watched: Watched) -> list[Trouble | Skipped]:
    """A master with a replica."""

    def failover() -> float:
        master = _master(watched)
        master.kill()
        _until(lambda: _master(watched) is not master, "the sentinels choose another master")
        _until(lambda: _master(watched).info("replication")["role"] == "master", "it is one")
        back_at = time.monotonic()
        master.start()
        return back_at

    return [
        Trouble(
            "failover",
            "Sentinel: kill -9 of the master, and failover",
            failover,
            "Nothing. Between the kill and the failover each replica answers for itself.",
            "Sentinels are asked with each new connection: the new master is found within 5 s of the failover.",
        )
    ]


def of_cluster(cluster: Cluster, seconds: float) -> list[Trouble | Skipped]:
    """Three masters."""
    moved = 0

    def reshard() -> float:
        nonlocal moved
        moved = 0
        give_up_at = time.monotonic() + seconds
        while time.monotonic() < give_up_at:
            source = cluster.servers[moved % len(cluster.servers)]
            target = cluster.servers[(moved + 1) % len(cluster.servers)]
            key = source.says("RANDOMKEY")
            slot = source.says("CLUSTER", "KEYSLOT", key) if isinstance(key, bytes) else None
            if isinstance(slot, int):
                cluster.move(slot, target)
            moved += 1
        return time.monotonic()

    def kill_one() -> float:
        cluster.servers[1].kill()
        time.sleep(seconds)
        cluster.servers[1].start()
        _until(cluster.agrees, "the cluster agrees again")
        return time.monotonic()

    return [
        Trouble(
            "reshard",
            "Cluster: slots move, with their keys",
            reshard,
            "Nothing. A redirect is followed within the call's deadline.",
            "There is nothing to recover from: the map of slots is read anew behind the calls.",
            lambda: (f"{moved} slots were moved",),
        ),
        Trouble(
            "cluster-kill",
            "Cluster: kill -9 of one of three masters",
            kill_one,
            "Nothing. A third of the answers is not shared meanwhile.",
            "As after a kill, for that server alone.",
        ),
    ]


def _master(watched: Watched) -> RedisServer:
    for sentinel in watched.sentinels:
        said = sentinel.says("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        if isinstance(said, list) and isinstance(said[1], bytes):
            port = int(said[1])
            return next(each for each in watched.servers if each.port == port)
    raise BenchFailed("no sentinel knows a master")


def _until(is_so: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + _FAILOVER_S
    while not is_so():
        if time.monotonic() > give_up_at:
            raise BenchFailed(f"waited in vain until {what}")
        time.sleep(_POLL_S)
