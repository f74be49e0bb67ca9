"""A worker's life, from the fork to its exit status.

Rules: it stops and reloads when the supervisor says so over the link, and stops in good order when the supervisor is
gone; signals that go to the whole process group are none of its business. It ends without an interpreter's farewell:
half of what that would tidy belongs to the supervisor.
"""

import asyncio
import os
import sys
from dataclasses import dataclass

import structlog
import uvloop

from config.load import SettingsLoader
from config.reload import ReloadWatcher
from config.schema import Settings
from proxy.app import Skinflint
from proxy.identity import Identity
from proxy.logs import setup as setup_logs
from proxy.process import Orders, serve
from proxy.workers.board import Board
from proxy.workers.directory import leave
from proxy.workers.link import HURRY, READY, RELOAD, STOP, Link
from proxy.workers.listening import WorkerSockets
from proxy.workers.place import WorkerPlace
from proxy.workers.shared import SharedParts

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Post:
    """Everything that a worker is given."""

    place: WorkerPlace
    settings: Settings
    loader: SettingsLoader
    identity: Identity
    sockets: WorkerSockets
    board: Board
    shared: SharedParts | None
    link: Link


def live(post: Post) -> int:
    """Work until the end; returns the exit status. Never raises."""
    try:
        setup_logs(post.settings.log, worker=post.place.index)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            status = runner.run(_serve(post))
    except Exception as failure:
        log.error("worker_failed", error=type(failure).__name__, exc_info=failure)
        status = 1
    if os.getppid() != post.board.supervisor:
        leave(post.place.directory, post.place.index)
    sys.stdout.flush()
    sys.stderr.flush()
    return status


async def _serve(post: Post) -> int:
    orders = Orders()
    loop = asyncio.get_running_loop()

    def obey() -> None:
        said = post.link.receive()
        if said is None:
            loop.remove_reader(post.link.incoming)
            if not orders.stop.is_set():
                log.error("supervisor_gone", then="stopping")
            orders.stop.set()
            return
        if STOP in said:
            orders.stop.set()
        if HURRY in said:
            orders.hurry.set()
        if RELOAD in said:
            orders.reload.set()

    loop.add_reader(post.link.incoming, obey)
    proxy = Skinflint(post.settings, post.place, post.shared, post.identity, post.board)
    watcher = ReloadWatcher(post.loader, post.settings, proxy.apply)
    return await serve(
        proxy,
        orders,
        on_ready=lambda _: post.link.send(READY),
        reload=lambda is_ordered: is_ordered and watcher.poll(force=True),
        sockets=post.sockets,
    )
