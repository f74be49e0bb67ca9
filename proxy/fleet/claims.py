"""Who makes a call, for all replicas: the first to come claims its fingerprint in Redis, for as long as it is there.

    <prefix>:f:{fingerprint}                     the claim, for three quarters of a lease unless it is renewed
    <prefix>:s:{fingerprint}:<replica>:<number>  the stream: what has come of the answer, for those who come late
    <prefix>:c:{fingerprint}:<replica>:<number>  the channel: the same, as it comes
    <prefix>:r:<replica>                         what is said to one replica

Rules: a claim names one flight of one replica, and so do its stream and channel: a replica that was away and comes back
cannot disturb whoever took its place. Only the holder renews a claim or gives it back; one that Redis has forgotten is
claimed again by its holder. What was given back leaves a mark for a while: whoever claims next knows by it that there
may be an answer in the cache that was not there when he looked.
"""

from dataclasses import dataclass
from typing import Final

from proxy.fleet.errors import RedisUnavailableError
from proxy.fleet.link import RedisLink, Script

_LEASE_SHARE: Final = 0.75  # of `collapse.lease_s`: the rest is the time in which a follower notices
_MARK_MS: Final = 10_000
_LANDED: Final = b"-"

_CLAIM: Final = Script("""
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] and held ~= ARGV[3] and held ~= '-' then
  local epoch = tonumber(string.match(held, ':(%d+)$'))
  if epoch and epoch >= tonumber(ARGV[4]) then return held end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return held == '-' and held or ARGV[1]
""")
_RENEW: Final = Script("""
local held = redis.call('GET', KEYS[1])
if held == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
elseif held then
  return 0
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
""")
_RELEASE: Final = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], '-', 'PX', ARGV[2])
return 1
""")


@dataclass(frozen=True, slots=True)
class Claim:
    """One flight of one replica. `epoch`: the highest stamp of a rule of invalidation that its call knew of; a call
    that knows of a later one does not follow it, and takes its place."""

    replica: str
    number: int
    epoch: int

    def __bytes__(self) -> bytes:
        return f"{self.replica}:{self.number}:{self.epoch}".encode()

    @classmethod
    def parse(cls, said: object) -> "Claim":
        """Raises RedisUnavailableError."""
        match said.decode("ascii", "replace").split(":") if isinstance(said, bytes) else ():
            case [replica, number, epoch] if replica and number.isdecimal() and epoch.isdecimal():
                return cls(replica, int(number), int(epoch))
        raise RedisUnavailableError("protocol_error")


@dataclass(frozen=True, slots=True)
class Names:
    """Of everything that concerns one flight; a Redis Cluster keeps its keys on one server."""

    claim: bytes
    stream: bytes
    channel: bytes

    @classmethod
    def of(cls, prefix: str, key: bytes, claim: Claim) -> "Names":
        """The names of a flight."""
        tag, flight = f"{{{key.hex()}}}", f"{claim.replica}:{claim.number}"
        return cls(
            f"{prefix}:f:{tag}".encode(),
            f"{prefix}:s:{tag}:{flight}".encode(),
            f"{prefix}:c:{tag}:{flight}".encode(),
        )


def inbox(prefix: str, replica: str) -> bytes:
    """The channel of what is said to a replica."""
    return f"{prefix}:r:{replica}".encode()


class Claims:
    """All raise RedisUnavailableError."""

    def __init__(self, link: RedisLink, lease_s: float) -> None:
        self._link = link
        self._lease_ms = round(_LEASE_SHARE * lease_s * 1000)

    async def claim(self, name: bytes, own: Claim, instead_of: Claim | None) -> tuple[Claim, bool]:
        """Who holds it now, and whether another's call has landed a moment ago. The call waits for this: it has the
        deadline of a read."""
        others = b"" if instead_of is None else bytes(instead_of)
        said = (bytes(own), self._lease_ms, others, own.epoch)
        held = await self._link.run(_CLAIM, (name,), said, self._link.settings.read_timeout_s)
        if held == _LANDED:
            return own, True
        return Claim.parse(held), instead_of is not None

    async def renew(self, name: bytes, own: Claim) -> bool:
        """False: another has it."""
        return await self._link.run(_RENEW, (name,), (bytes(own), self._lease_ms)) == 1

    async def release(self, name: bytes, own: Claim) -> None:
        """Give it back, if it is ours."""
        await self._link.run(_RELEASE, (name,), (bytes(own), _MARK_MS))
