"""A process around the proxy: event loop, signals, reloads.

SIGTERM and SIGINT stop it in good order, SIGHUP and a changed file reload the settings. The exit status is 0 unless it
could not start.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable

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

log = structlog.get_logger(__name__)

_POLL_S = 1.0


def run(loader: SettingsLoader, on_ready: Callable[[Runtime], None]) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status. Raises SettingsError before anything is started."""
    settings = loader.load()
    setup_logs(settings.log)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(loader, settings, on_ready))


async def _run(loader: SettingsLoader, settings: Settings, on_ready: Callable[[Runtime], None]) -> int:
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    proxy = Skinflint(settings)
    watcher = ReloadWatcher(loader, settings, proxy.apply)  # before the start, which a change must not fall into
    try:
        runtime = await proxy.start()
    except (ListenError, OSError) as failure:
        await proxy.abandon()
        log.error("start_failed", reason=str(failure))
        return 1
    log.info("ready", listeners=[listener.address for listener in runtime.listeners], admin=runtime.admin)
    on_ready(runtime)
    settle_memory()
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_S):
                await stop.wait()
        watcher.poll(force=reload.is_set())
        reload.clear()
        await proxy.close_retired()
    await proxy.stop()
    return 0
