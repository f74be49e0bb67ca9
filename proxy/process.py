"""A process around the proxy: event loop, signals, reloads.

SIGTERM and SIGINT stop it in good order, and a second one, a second later or more, at once; SIGHUP and a changed file
reload the settings. The exit status is 0 unless it could not start. One of several workers (proxy/workers) runs the
same loop, and is told by its supervisor.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
import uvloop

from config.load import SettingsLoader
from config.reload import ReloadWatcher
from config.schema import Settings
from proxy.app import Skinflint
from proxy.edge.master import ListenError
from proxy.logs import setup as setup_logs
from proxy.memory import settle as settle_memory
from proxy.runtime import Runtime
from proxy.workers.listening import WorkerSockets

log = structlog.get_logger(__name__)

_POLL_S = 1.0
_AGAIN_S = 1.0


class Again:
    """Tells a second order to end from an echo: terminals and wrappers often deliver one signal twice."""

    def __init__(self) -> None:
        self._first_at: float | None = None

    def is_meant(self, now: float) -> bool:
        """Is this the second order, and no echo of the first?"""
        if self._first_at is None:
            self._first_at = now
        return now - self._first_at >= _AGAIN_S


@dataclass(slots=True)
class Orders:
    """What the process was told to do."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    _again: Again = field(default_factory=Again)

    def end(self) -> None:
        """A signal to end has come; one that is meant a second time means at once."""
        self.stop.set()
        if self._again.is_meant(time.monotonic()):
            self.hurry.set()


def run(loader: SettingsLoader, on_ready: Callable[[Runtime], None]) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status. Raises SettingsError before anything is started."""
    settings = loader.load()
    setup_logs(settings.log)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(loader, settings, on_ready))


async def _run(loader: SettingsLoader, settings: Settings, on_ready: Callable[[Runtime], None]) -> int:
    orders = Orders()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, orders.end)
    loop.add_signal_handler(signal.SIGHUP, orders.reload.set)
    proxy = Skinflint(settings)
    watcher = ReloadWatcher(loader, settings, proxy.apply)  # before the start, which a change must not fall into

    def announce(runtime: Runtime) -> None:
        log.info("ready", listeners=[listener.address for listener in runtime.listeners], admin=runtime.admin)
        on_ready(runtime)

    return await serve(
        proxy, orders, announce, lambda is_ordered: proxy.reloads.count(watcher.poll(force=is_ordered).outcome)
    )


async def serve(
    proxy: Skinflint,
    orders: Orders,
    on_ready: Callable[[Runtime], None],
    reload: Callable[[bool], object],
    sockets: WorkerSockets | None = None,
) -> int:
    """Start the proxy, and stop it when that is ordered; returns the exit status.

    `reload` is called about once a second, with whether it was ordered.
    """
    try:
        runtime = await proxy.start(sockets)
    except (ListenError, OSError) as failure:
        await proxy.abandon()
        log.error("start_failed", reason=str(failure))
        return 1
    on_ready(runtime)
    settle_memory()
    while not orders.stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_S):
                await orders.stop.wait()
        reload(orders.reload.is_set())
        orders.reload.clear()
        await proxy.tend()
    await proxy.stop(orders.hurry)
    return 0
