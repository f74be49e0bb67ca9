"""The provider simulator on a thread of its own, so that tests of any scope can share it and read its counters.

Rules: what steers it (`options`, `faults`, `script`) may be set from the test's thread: each is one assignment. What
touches its connections runs on its own loop.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from proxy.demo.certificates import Certificates
from proxy.demo.faults import Options
from proxy.demo.simulator import Simulator

_STOP_S = 15.0


class LoopThread:
    """An event loop on a thread of its own; in a network namespace, if its file is given."""

    def __init__(self, name: str, namespace: Path | None = None) -> None:
        self._namespace = namespace
        self._loop: asyncio.AbstractEventLoop
        self._is_running = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        assert self._is_running.wait(_STOP_S)

    def _run(self) -> None:
        if self._namespace is not None:
            with self._namespace.open() as file:
                os.setns(file.fileno(), os.CLONE_NEWNET)  # of this thread alone
        self._loop = asyncio.new_event_loop()
        self._loop.call_soon(self._is_running.set)
        self._loop.run_forever()

    def run[T](self, coroutine: Coroutine[object, object, T], deadline_s: float = _STOP_S) -> T:
        """Run it there to its end, and wait for that."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(deadline_s)

    def call[T](self, function: Callable[[], T]) -> T:
        """Call a function there, and wait for its result."""

        async def called() -> T:
            return function()

        return self.run(called())

    @contextlib.contextmanager
    def within[T](self, manager: contextlib.AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enter an asynchronous context there, until the block is left."""
        stack = contextlib.AsyncExitStack()
        try:
            yield self.run(stack.enter_async_context(manager))
        finally:
            self.run(stack.aclose())

    def close(self) -> None:
        """End the loop and the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_S)
        self._loop.close()


class Providers(Simulator):
    """A simulator that lives on a thread."""

    def __init__(
        self, certificates: Certificates | None, options: Options, thread: LoopThread, port: int, listen: Sequence[str]
    ) -> None:
        super().__init__(certificates, options, port=port, listen=listen)
        self._first_options = options
        self._thread = thread

    def start_over(self) -> None:
        """As it was at the start, except for its open connections."""
        self.options = self._first_options
        self._thread.call(self.reset)

    def hang_up(self) -> None:
        """Close every connection without a word."""

        def close() -> None:
            for connection in list(self._connections):
                connection.close()

        self._thread.call(close)

    @property
    def targets(self) -> list[str]:
        """What was asked for, oldest first."""
        return [call.target for call in list(self.calls)]


@contextlib.contextmanager
def providers(
    certificates: Certificates | None,
    options: Options | None = None,
    namespace: Path | None = None,
    *,
    port: int = 0,
    listen: Sequence[str] = ("127.0.0.1",),
) -> Iterator[Providers]:
    """Serve until the block is left. Without certificates it speaks plain HTTP."""
    thread = LoopThread("providers", namespace)
    simulator = Providers(certificates, options or Options(events=8), thread, port, listen)
    try:
        thread.run(simulator.start())
        yield simulator
    finally:
        thread.run(simulator.stop())
        thread.close()
