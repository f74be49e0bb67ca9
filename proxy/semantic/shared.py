"""An index that several replicas share: one vector set of Redis 8 for each scope.

Other than in memory, vectors leave the process here; whoever asks for that should know it. Elements are fingerprints;
their attributes are a digest of what must be equal, and the text's length: no words. A set is forgotten when nothing
was added to it for `keep_s`. Redis keeps no order in it: past the limit any element goes.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, Protocol

import orjson
import structlog

from proxy.semantic.guards import LONGEST_RATIO
from proxy.semantic.index import Match, Row, Vector

log = structlog.get_logger(__name__)

MOST_OF_A_SCOPE: Final = 20_000  # about 20 MB
_WANTED: Final = 4
_FILTER_EFFORT: Final = 2_000  # elements that Redis looks at for some that pass the filter
_SHORT: Final = 80  # characters; see are_alike_in_length


class SharedIndex(Protocol):
    """What other replicas have been asked. Never raises: what cannot be asked now is not known."""

    async def like(self, scope: bytes, key: bytes, vector: Vector, characters: int) -> Sequence[Match]:
        """The nearest with this key, of about this length."""
        ...

    async def add(self, scope: bytes, key: bytes, row: Row) -> None:
        """Keep a row."""
        ...

    async def forget(self, scope: bytes, fingerprint: bytes) -> None:
        """Drop a row."""
        ...


class Commands(Protocol):
    """A connection to Redis with deadlines of its own."""

    async def command(self, *words: bytes | str | int, key: bytes) -> object:
        """The answer of the server that has `key`; None for whatever it cannot give now. Never raises."""
        ...


async def has_vector_sets(commands: Commands) -> bool | None:
    """Does the server know VADD and VSIM (Redis 8)? None: it does not answer now."""
    match await commands.command("COMMAND", "INFO", "VADD", "VSIM", key=b""):
        case [first, second]:
            return first is not None and second is not None
        case dict(known):  # RESP3
            return all(any(str(name).lower() == wanted for name in known) for wanted in ("vadd", "vsim"))
        case _:
            return None


class RedisVectors:
    """On vector sets. `prefix`: of all keys of this fleet."""

    def __init__(self, commands: Commands, prefix: str, keep_s: int, *, most: int = MOST_OF_A_SCOPE) -> None:
        self._commands = commands
        self._prefix = prefix.encode()
        self._keep_s = keep_s
        self._most = most
        self._is_able: bool | None = None  # None: the server has not said yet

    async def like(self, scope: bytes, key: bytes, vector: Vector, characters: int) -> Sequence[Match]:
        """See SharedIndex."""
        if not await self._can():
            return []
        least, most = characters / LONGEST_RATIO, max(characters * LONGEST_RATIO, _SHORT)
        least = 0 if characters <= _SHORT else least
        wanted = f'.k == "{key.hex()}" and .n >= {least:.0f} and .n <= {most:.0f}'
        name = self._set(scope)
        answer = await self._commands.command(
            "VSIM", name, "FP32", vector.tobytes(), "WITHSCORES", "COUNT", _WANTED,
            "FILTER", wanted, "FILTER-EF", _FILTER_EFFORT, key=name,
        )  # fmt: skip
        return _matches(answer)

    async def add(self, scope: bytes, key: bytes, row: Row) -> None:
        """See SharedIndex."""
        if not await self._can():
            return
        name = self._set(scope)
        about = orjson.dumps({"k": key.hex(), "n": row.characters})
        added = await self._commands.command(
            "VADD", name, "FP32", row.vector.tobytes(), row.fingerprint.hex(), "SETATTR", about, key=name
        )
        if added is None:
            return
        await self._commands.command("EXPIRE", name, self._keep_s, key=name)
        count = await self._commands.command("VCARD", name, key=name)
        if isinstance(count, int) and count > self._most:
            chosen = await self._commands.command("VRANDMEMBER", name, key=name)
            if isinstance(chosen, bytes | str):
                await self._commands.command("VREM", name, chosen, key=name)

    async def forget(self, scope: bytes, fingerprint: bytes) -> None:
        """See SharedIndex."""
        name = self._set(scope)
        await self._commands.command("VREM", name, fingerprint.hex(), key=name)

    async def _can(self) -> bool:
        if self._is_able is None:
            self._is_able = await has_vector_sets(self._commands)
            if self._is_able is False:
                log.warning("semantic_vectors_not_shared", reason="this Redis has no vector sets; Redis 8 has")
        return bool(self._is_able)

    def _set(self, scope: bytes) -> bytes:
        return self._prefix + b":alike:" + hashlib.blake2b(scope, digest_size=16).hexdigest().encode()


def _matches(answer: object) -> list[Match]:
    """Redis gives (1 + cosine) / 2 as the score; flat pairs (RESP2) or a map (RESP3)."""
    if isinstance(answer, dict):
        pairs = list(answer.items())
    elif isinstance(answer, list | tuple):
        pairs = list(zip(answer[::2], answer[1::2], strict=False))
    else:
        return []
    found = []
    for element, score in pairs:
        try:
            name = element.decode() if isinstance(element, bytes) else str(element)
            found.append(Match(bytes.fromhex(name), 2 * float(score) - 1))
        except ValueError:
            continue
    return found
