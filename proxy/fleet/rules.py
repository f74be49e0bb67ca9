"""Rules of invalidation among replicas: kept in Redis, and heard by all of them at once.

`hear`: takes each rule that becomes known here.

Rules: Redis gives the stamps, so that they grow whatever the replicas' clocks say. They stand in one list, which a
replica reads whole before it takes anything from Redis, and again whenever it may have missed something. What could
not be told, because Redis was away, is told when it is back; so is what Redis has forgotten, with the stamp that it
had: a server may come back empty, or as it was when it was last saved. A list that has grown too long becomes one rule
that covers everything so far.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import orjson
import structlog

from proxy.fleet.connection import Argument
from proxy.fleet.errors import RedisUnavailableError
from proxy.fleet.hearing import Hearing
from proxy.fleet.link import RedisLink, Script
from proxy.stores.base import StoreUnavailableError
from proxy.stores.rule_board import read
from proxy.stores.rules import Kind, Rule, Rules
from proxy.tasks import TaskSet

log = structlog.get_logger(__name__)

_MOST_RULES: Final = 4_096
_MOST_UNTOLD: Final = 1_024
_READ_S: Final = 2.0
_TELL: Final = Script("""
local now = redis.call('TIME')
local stamp = math.max(tonumber(ARGV[3]), now[1] * 1000000 + now[2], tonumber(redis.call('GET', KEYS[2]) or '0') + 1)
local text = string.format('%.0f', stamp)
redis.call('SET', KEYS[2], text)
local line = '[' .. ARGV[1] .. ',' .. ARGV[2] .. ',' .. text .. ']'
if ARGV[1] == '"all"' or redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[4]) then
  redis.call('DEL', KEYS[1])
  line = '["all","",' .. text .. ']'
end
redis.call('RPUSH', KEYS[1], line)
redis.call('PUBLISH', KEYS[3], line)
return text
""")
_RESTORE: Final = Script("""
if redis.call('LPOS', KEYS[1], ARGV[1]) then return 0 end
local stamp = math.max(tonumber(ARGV[2]), tonumber(redis.call('GET', KEYS[2]) or '0'))
local text = string.format('%.0f', stamp)
redis.call('SET', KEYS[2], text)
local line = ARGV[1]
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[3]) then
  redis.call('DEL', KEYS[1])
  line = '["all","",' .. text .. ']'
end
redis.call('RPUSH', KEYS[1], line)
redis.call('PUBLISH', KEYS[3], line)
return 1
""")


class FleetRules:
    """A RuleKeeper."""

    name = "redis"

    def __init__(
        self,
        link: RedisLink,
        prefix: str,
        hear: Callable[[Rule], None],
        tasks: TaskSet,
    ) -> None:
        tagged = f"{prefix}:{{rules}}"
        self._keys = [f"{tagged}:list".encode(), f"{tagged}:stamp".encode(), f"{tagged}:channel".encode()]
        self._link = link
        self._hear = hear
        self._tasks = tasks
        self._hearing: Hearing | None = None
        self._untold: deque[Rule] = deque()
        self._told = Rules()  # what Redis must know
        self._falls = 0  # of the link's connections, when everything was current
        self.current = asyncio.Event()  # set: everything that was told before is known here

    def start(self) -> None:
        """Begin to hear; what was told before is read as soon as Redis is there. Raises RedisUnavailableError."""
        self._hearing = self._link.hearing(self._heard, self._missed, [self._keys[2]])

    def may_answer(self) -> bool:
        """Is everything known here by which answers from Redis must be judged?"""
        self._look_at_link()
        return self.current.is_set()

    def _look_at_link(self) -> None:
        """Where calls could not get through, neither could messages, and they may still be on their way."""
        if (falls := self._link.falls) != self._falls:
            self._falls = falls
            self.current.clear()
            if self._hearing is not None:
                self._hearing.renew()

    async def stop(self) -> None:
        """Hear no more."""
        if self._hearing is not None:
            await self._hearing.close()

    async def keep(self, rule: Rule) -> Rule:
        """See RuleKeeper. What Redis cannot be told now is told later, and obeyed here meanwhile."""
        try:
            kept = await self._tell(rule)
        except RedisUnavailableError as failure:
            self._untold.append(rule)
            if len(self._untold) > _MOST_UNTOLD:
                self._untold = deque([Rule(Kind.ALL, "", max(each.stamp for each in self._untold))])
            raise StoreUnavailableError(failure.reason) from failure
        self._told.add(kept)
        return kept

    async def catch_up(self) -> None:
        """Read what was told, and tell what was not. Called about once a second; does nothing when nothing is due."""
        self._look_at_link()
        if self.current.is_set() and not self._untold:
            return
        try:
            if not self.current.is_set():
                await self._read()
            while self._untold:
                kept = await self._tell(self._untold[0])
                self._told.add(kept)
                self._hear(kept)
                self._untold.popleft()
        except RedisUnavailableError:
            return  # the link says so itself

    async def _tell(self, rule: Rule) -> Rule:
        said: list[Argument] = [orjson.dumps(rule.kind), orjson.dumps(rule.value), rule.stamp, _MOST_RULES]
        reply = await self._link.run(_TELL, self._keys, said)
        if not isinstance(reply, bytes):
            raise RedisUnavailableError("protocol_error")
        return Rule(rule.kind, rule.value, int(reply))

    async def _read(self) -> None:
        lines = await self._link.call(b"LRANGE", self._keys[0], 0, -1, key=self._keys[0], deadline_s=_READ_S)
        if not isinstance(lines, list):
            raise RedisUnavailableError("protocol_error")
        held = {self._add(line) for line in lines if isinstance(line, bytes)}
        covered = max((rule.stamp for rule in held if rule.kind is Kind.ALL), default=0)
        for rule in list(self._told):
            if rule.stamp > covered and rule not in held:
                await self._restore(rule)
        self.current.set()

    async def _restore(self, rule: Rule) -> None:
        line = b"[%s,%s,%d]" % (orjson.dumps(rule.kind), orjson.dumps(rule.value), rule.stamp)
        await self._link.run(_RESTORE, self._keys, [line, rule.stamp, _MOST_RULES])

    def _heard(self, channel: bytes, line: bytes) -> None:
        self._add(line)

    def _missed(self) -> None:
        self.current.clear()
        self._tasks.spawn(self.catch_up(), name="fleet rules")

    def _add(self, line: bytes) -> Rule:
        """A line that cannot be read may have meant anything: everything before it is forgotten here."""
        try:
            rule = read(line)
        except (ValueError, TypeError):
            log.warning("rule_not_understood", action="everything cached so far is forgotten")
            rule = Rule(Kind.ALL, "", int(time.time() * 1_000_000))
        else:
            self._told.add(rule)
        try:
            self._hear(rule)
        except TimeoutError:
            self.current.clear()  # the workers' shared rules are busy: read again in a second
        return rule
