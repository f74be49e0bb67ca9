"""Load: clients that each ask again as soon as they have their answer, and check every byte of it.

Rules: closed loop, one connection a client. What is asked is drawn with a seed: questions that everybody asks, those
that nobody asked before, whole and streamed, small and large, under several credentials. Of the new ones many are
asked a second time a little later, of another replica if there is one: whether that is a hit shows whether the tier
between them is in use. A call that does not end within a minute has failed.
"""

import asyncio
import random
import ssl
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.failures import BenchFailed
from bench.reliability.answers import Question
from bench.reliability.records import Record
from bench.reliability.replica import Replica
from bench.soak.client import Client, request

_HOST: Final = "api.openai.com"
_PATH: Final = "/v1/chat/completions"
_PAUSE_S: Final = 0.01  # between two calls of a client: figures are to show the trouble, not a full machine
_CALL_S: Final = 60.0
_SECOND_AFTER_S: Final = 0.3  # until the first answer is surely written
_MOST_WAITING: Final = 200
_MOST_OLD: Final = 2_000
_HOT: Final = 30
_CREDENTIALS: Final = ("sk-alpha", "sk-beta", "sk-gamma")
_SIZES: Final = (200, 900, 900, 4_000, 4_000, 30_000, 300_000)  # characters of an answer


@dataclass(frozen=True, slots=True)
class _Due:
    at: float
    question: Question


class Load:
    """`async with Load(replicas, clients, seed) as load:`; `records` grows meanwhile."""

    def __init__(self, replicas: Sequence[Replica], clients: int, seed: int) -> None:
        self.records: list[Record] = []
        self._replicas = replicas
        self._clients = clients
        self._random = random.Random(seed)
        self._number = 0
        self._due: list[deque[_Due]] = [deque(maxlen=_MOST_WAITING) for _ in replicas]
        self._old: deque[Question] = deque(maxlen=_MOST_OLD)
        self._is_over = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Load":
        for number in range(self._clients):
            self._tasks.append(asyncio.create_task(self._client(number % len(self._replicas))))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def _client(self, index: int) -> None:
        replica = self._replicas[index]
        client: Client | None = None
        try:
            while not self._is_over:
                kind, question = self._next(index)
                began = time.monotonic()
                try:
                    async with asyncio.timeout(_CALL_S):
                        client = client or await _connect(replica)
                        record = await _ask(client, kind, question, began)
                except (OSError, ssl.SSLError, EOFError, ValueError, BenchFailed) as failure:
                    if client is not None:
                        client.leave()
                        client = None
                    record = _broken(kind, question, began, failure, replica)
                self.records.append(record)
                self._remember(index, record, question)
                await asyncio.sleep(_PAUSE_S if not record.is_cut_off else 10 * _PAUSE_S)
        finally:
            if client is not None:
                client.leave()

    def _next(self, index: int) -> tuple[str, Question]:
        due = self._due[index]
        if due and due[0].at <= time.monotonic():
            return "second", due.popleft().question
        chosen = self._random
        draw = chosen.random()
        if draw < 0.35:
            prompt = f"everybody asks {chosen.randrange(_HOT)} size=900"
            return "hot", Question(chosen.choice(_CREDENTIALS), prompt, draw < 0.1)
        if draw < 0.45 and self._old:
            return "old", chosen.choice(self._old)
        self._number += 1
        prompt = f"nobody asked {self._number} size={chosen.choice(_SIZES)}"
        return "new", Question(chosen.choice(_CREDENTIALS), prompt, chosen.random() < 0.3)

    def _remember(self, index: int, record: Record, question: Question) -> None:
        if record.failure:
            return
        if record.kind == "new":
            other = (index + 1) % len(self._replicas)
            self._due[other].append(_Due(record.ended + _SECOND_AFTER_S, question))
        elif record.kind == "second":
            self._old.append(question)


async def _connect(replica: Replica) -> Client:
    client = await Client.connect(replica.port)
    try:
        await client.tunnel(f"{_HOST}:443")
        await client.secure(replica.trust(), _HOST)
    except BaseException:
        client.leave()
        raise
    return client


async def _ask(client: Client, kind: str, question: Question, began: float) -> Record:
    client.send(request(_HOST, _PATH, question.body, kind, credential=question.credential))
    head = await client.head()
    longest_s, last = time.monotonic() - began, time.monotonic()
    pieces = []
    async for piece in client.pieces(head):
        now = time.monotonic()
        longest_s, last = max(longest_s, now - last), now
        pieces.append(piece)
    body = b"".join(pieces)
    failure = "" if head.status == 200 else f"{head.status}: {body[:200]!r}"
    wrong = ""
    expected = question.answer
    if not failure and body != expected:
        wrong = f"{len(body)} bytes that begin with {body[:80]!r}, not {len(expected)} with {expected[:80]!r}"
    return Record(
        kind=kind,
        began=began,
        ended=time.monotonic(),
        was_hit=head.fields.get("x-skinflint-cache") == "hit",
        failure=failure,
        wrong=wrong,
        longest_wait_s=longest_s,
        is_streamed=question.is_streamed,
    )


def _broken(kind: str, question: Question, began: float, failure: Exception, replica: Replica) -> Record:
    ended = time.monotonic()
    return Record(
        kind=kind,
        began=began,
        ended=ended,
        failure=f"{type(failure).__name__}: {failure}",
        is_cut_off=replica.was_down(began, ended),
        is_streamed=question.is_streamed,
        longest_wait_s=ended - began,
    )
