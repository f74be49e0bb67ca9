"""A process around the webhook: event loop, signals, and a look at its files once a second.

SIGTERM and SIGINT stop it in good order: it is not ready any more, goes on answering while the cluster takes note
(`linger_s`), and closes. A changed certificate or settings file is taken without a restart; bad ones are refused, said
once, and the old ones stay.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvloop

from config.errors import SettingsError
from config.injector import load_injector
from config.sight import look
from proxy.injector.certs import Certificates
from proxy.injector.counts import Counts
from proxy.injector.known import plan_for
from proxy.injector.webhook import Webhook

log = structlog.get_logger(__name__)

_POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the webhook listens, and what it reads."""

    address: str
    certificate: Path
    key: Path
    config: Path
    linger_s: float


def run(place: Place, on_ready: Callable[[str], None]) -> None:
    """Run until SIGTERM or SIGINT. Raises SettingsError, CertificateError or OSError when it cannot start."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(place, on_ready))


async def _run(place: Place, on_ready: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    counts = Counts()
    seen = look(place.config, None, time.time_ns())
    certificates = Certificates(place.certificate, place.key)
    webhook = Webhook(certificates, plan_for(load_injector(place.config), place.config), counts)
    on_ready(await webhook.start(place.address))
    while not await _within(stop, _POLL_S):
        if (outcome := certificates.poll()) != "unchanged":
            counts.reloads.labels("certificate", "applied" if outcome == "reloaded" else "refused").inc()
            counts.expires(certificates.expires_at)
        before, seen = seen, look(place.config, seen, time.time_ns())
        if before.digest != seen.digest:
            counts.reloads.labels("settings", _apply(place.config, webhook)).inc()
    webhook.announce_stop()
    log.info("stopping", linger_s=place.linger_s)
    await asyncio.sleep(place.linger_s)
    await webhook.stop()


def _apply(file: Path, webhook: Webhook) -> str:
    try:
        webhook.plan = plan_for(load_injector(file), file)
    except SettingsError as failure:
        log.error("settings_refused", reason=str(failure))
        return "refused"
    log.info("settings_applied", files=[str(file)])
    return "applied"


async def _within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False
