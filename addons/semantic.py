"""semantic: a call that only says in other words what was asked before gets the answer that is stored for that.

Only where a route asks for it. Everything but the text of the last user turn must be equal, byte for byte; of that
text, all that is not known to be without meaning (proxy/semantic/guards.py); then a model must find both texts near
enough.
The answer is taken from the store under the other call's fingerprint, so that rules of invalidation, ages and the
client's Cache-Control hold as for any hit. In shadow mode calls are passed on, and what would have been is counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from addons.cache import CacheStage
from proxy.exchange.canonical import length_prefixed
from proxy.exchange.chain import Handler
from proxy.exchange.digest import KeyedDigest
from proxy.exchange.model import Ending, Exchange, Response, Tap
from proxy.exchange.record import Outcome
from proxy.semantic.embedder import LATER_S
from proxy.semantic.guards import are_alike_in_length, facts
from proxy.semantic.index import Match, Row, Vector, cosine
from proxy.semantic.state import SemanticState
from proxy.semantic.turn import last_turn
from proxy.stores.base import Entry
from proxy.tasks import TaskSet

THRESHOLD: Final = 0.8  # see docs/semantic.md for what it was chosen from
_MOST_TRIED: Final = 4  # answers looked for in the store, nearest first


@dataclass(slots=True)
class _Asked:
    """A text that may be compared."""

    fingerprint: bytes
    scope: bytes
    key: bytes
    text: str = field(repr=False)
    is_sensitive: bool = False  # kept in this process alone
    vector: Vector | None = field(default=None, repr=False)


class Semantic:
    """The stage. It stands behind `cache`, and sees what that has not answered."""

    name = "semantic"

    def __init__(
        self,
        key: bytes,
        scope: Callable[[Exchange], Sequence[bytes]],
        cache: CacheStage,
        state: SemanticState,
        tasks: TaskSet,
    ) -> None:
        """`scope`: what two calls must have in common besides their bodies; first whose they are (fingerprint.py)."""
        self._digest = KeyedDigest(key, b"alike")
        self._scope = scope
        self._cache = cache
        self._state = state
        self._counts = state.counts
        self._tasks = tasks

    def concerns(self, exchange: Exchange) -> bool:
        """See proxy.exchange.chain.Choosy."""
        return exchange.policy is not None and exchange.policy.semantic in ("shadow", "on")

    async def handle(self, exchange: Exchange, call_next: Handler) -> Response:
        policy = exchange.policy
        if policy is None or exchange.outcome is not Outcome.MISS:  # the renewal of an answer goes upstream
            return await call_next(exchange)
        asked = self._asked(exchange)
        if asked is None:
            self._counts.count("unfit")
            return await call_next(exchange)
        directives = exchange.directives
        if not directives.no_cache and not directives.unread:
            entry = await self._alike(exchange, asked, policy.semantic_threshold or THRESHOLD)
            if entry is not None and policy.semantic == "on":
                self._counts.count("hit")
                return self._cache.replay(exchange, entry, "semantic")
            if entry is not None:
                self._counts.count("would_hit")
                self._counts.would_save(entry.cost_nanousd)
        if not directives.unkept:
            exchange.watchers.append(lambda response: self._noted(exchange, asked, response))
        return await call_next(exchange)

    def _asked(self, exchange: Exchange) -> _Asked | None:
        body, fingerprint = exchange.request.body, exchange.fingerprint
        several = exchange.policy is not None and (exchange.policy.buckets or 1) > 1
        if fingerprint is None or not exchange.answers_again or not isinstance(body, bytes) or several:
            return None
        turn = last_turn(body, exchange.json)
        found = None if turn is None else facts(turn.text)
        if turn is None or found is None:
            return None
        scope = self._scope(exchange)
        key = self._digest(length_prefixed([turn.rest, found.packed(), *scope]))
        is_sensitive = exchange.policy is not None and bool(exchange.policy.sensitive)
        return _Asked(fingerprint, scope[0], key, turn.text, is_sensitive)

    async def _alike(self, exchange: Exchange, asked: _Asked, threshold: float) -> Entry | None:
        matches = await self._matches(asked)
        if matches is None:
            return None
        if not matches:
            self._counts.count("none")
            return None
        self._counts.similarity(matches[0].similarity)
        near = [match for match in matches if match.similarity >= threshold]
        for match in near[:_MOST_TRIED]:
            entry = await self._cache.of(exchange, match.fingerprint)
            if entry is not None:
                return entry
            await self._forget(asked, match.fingerprint)
        self._counts.count("gone" if near else "below")
        return None

    async def _matches(self, asked: _Asked) -> Sequence[Match] | None:
        """What was asked alike, nearest first; None without a vector. Where nothing can be found none is made."""
        rows = [
            row for row in self._state.index.like(asked.key) if are_alike_in_length(row.characters, len(asked.text))
        ]
        shared = self._state.shared
        if not rows and shared is None:
            return ()
        vector = asked.vector = await self._state.embedder.embed(asked.text)
        if vector is None:
            self._counts.count("unready")
            return None
        found = {row.fingerprint: cosine(vector, row.vector) for row in rows}
        if shared is not None and not found:
            matches = await shared.like(asked.scope, asked.key, vector, len(asked.text))
            found = {match.fingerprint: match.similarity for match in matches}
        found.pop(asked.fingerprint, None)
        matches = [Match(fingerprint, similarity) for fingerprint, similarity in found.items()]
        return sorted(matches, key=lambda match: match.similarity, reverse=True)

    async def _forget(self, asked: _Asked, fingerprint: bytes) -> None:
        self._state.index.forget(fingerprint)
        if self._state.shared is not None:
            await self._state.shared.forget(asked.scope, fingerprint)

    def _noted(self, exchange: Exchange, asked: _Asked, response: Response) -> Tap | None:
        return _Noting(self, exchange, asked) if 200 <= response.status < 300 else None

    def note(self, asked: _Asked) -> None:
        """Its answer is stored: from now on it may answer others."""
        self._tasks.spawn(self._note(asked), name="semantic")

    async def _note(self, asked: _Asked) -> None:
        vector = asked.vector or await self._state.embedder.embed(asked.text, LATER_S)
        if vector is None:
            return
        row = Row(asked.fingerprint, len(asked.text), vector)
        self._state.index.add(asked.scope, asked.key, row)
        self._counts.texts = len(self._state.index)
        if self._state.shared is not None and not asked.is_sensitive:
            await self._state.shared.add(asked.scope, asked.key, row)


class _Noting:
    """Waits for the answer's proper end."""

    def __init__(self, stage: Semantic, exchange: Exchange, asked: _Asked) -> None:
        self._stage = stage
        self._exchange = exchange
        self._asked = asked

    def feed(self, chunk: bytes) -> None:
        """Only the end matters."""

    def end(self, ending: Ending) -> None:
        call = self._exchange.call
        if ending is Ending.COMPLETE and call is not None and call.complete:
            self._stage.note(self._asked)
