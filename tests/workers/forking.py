"""Forks workers that do next to nothing, and prints what became of them as JSON.

Not a test module: test_fleet.py runs it as a program, since a process with threads, as the tests' is, must not fork.
"""

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from proxy.workers.board import Board
from proxy.workers.fleet import Death, Fleet
from proxy.workers.link import READY, STOP, Link
from proxy.workers.wakeup import Wakeup
from tests.support.clock import Clock

_DEADLINE_S = 30.0


def until[T](look: Callable[[], T]) -> T:
    """Look again until there is something."""
    give_up_at = time.monotonic() + _DEADLINE_S
    while not (found := look()):
        if time.monotonic() > give_up_at:
            raise AssertionError("waited in vain")
        select.select([], [], [], 0.002)
    return found


def wait_for_order(link: Link) -> bytes | None:
    """In a worker: the next order; None when the supervisor is gone."""
    select.select([link.incoming], [], [], _DEADLINE_S)
    return link.receive()


def ends(live: Callable[[int, Link], int], act: Callable[[Fleet], object] = lambda _: None) -> list[Death]:
    """How two workers end that live so."""
    board = Board(2, supervisor=os.getpid())
    fleet = Fleet(board, live, lambda _: None, Clock())
    fleet.fill()
    act(fleet)
    found: list[Death] = []
    until(lambda: found.extend(fleet.bury()) or not fleet.workers)
    return sorted(found, key=lambda death: death.worker.index)


def stopped(index: int, link: Link) -> int:
    """A worker that ends when it is told."""
    return 10 + index if wait_for_order(link) == STOP else 1


def deaf(_index: int, _link: Link) -> int:
    """A worker that does not listen."""
    while True:
        signal.pause()


def failing(_index: int, _link: Link) -> int:
    """A worker with a bug."""
    os.close(2)  # what Python says of it is nobody's business
    raise RuntimeError("a bug")


def statuses() -> object:
    """Exit statuses come back."""
    return [(death.status, death.signal) for death in ends(stopped, lambda fleet: fleet.tell(STOP))]


def signals() -> object:
    """So does the signal that ended one."""
    return [(death.status, death.signal) for death in ends(deaf, lambda fleet: fleet.kill())]


def bugs() -> object:
    """A worker never returns into its supervisor's code."""
    return [(death.status, death.signal) for death in ends(failing)]


def orphans() -> object:
    """A worker learns that nobody is above it, though a later one was forked while its own link was open."""
    told, tell = os.pipe()

    def live(index: int, link: Link) -> int:
        if wait_for_order(link) is None:
            os.write(tell, b"%d" % index)
        return 0

    if (between := os.fork()) == 0:
        Fleet(Board(2, supervisor=os.getpid()), live, lambda _: None, Clock()).fill()
        os._exit(0)
    os.waitpid(between, 0)
    os.close(tell)
    said = b""
    while piece := os.read(told, 10):
        said += piece
    return sorted(said.decode())


def replacements() -> object:
    """The time of each start of a worker that ends at once, as the clock says."""
    clock = Clock()
    board = Board(1, supervisor=os.getpid())
    fleet = Fleet(board, lambda _index, _link: 0, lambda _: None, clock)
    starts = []
    while len(starts) < 4:
        if fleet.fill():
            starts.append(round(clock.now - 100, 3))
            until(fleet.bury)
            assert fleet.fill() == []  # not due yet
        clock.now += 0.01
    return starts


def readiness() -> object:
    """What a worker reports is on the board, in every process, until it ends."""
    board = Board(1, supervisor=os.getpid())

    def live(_index: int, link: Link) -> int:
        link.send(READY)
        wait_for_order(link)
        return 40 + board.is_ready(0)

    fleet = Fleet(board, live, lambda _: None, Clock())
    (worker,) = fleet.fill()
    assert until(worker.link.receive) == READY
    before = board.is_ready(0)
    fleet.became_ready(worker)
    during = board.is_ready(0), board.pid(0) == worker.pid
    fleet.tell(STOP)
    (death,) = until(fleet.bury)
    return [before, *during, board.is_ready(0), death.status]


def wakeups() -> object:
    """Signals are numbers to wait for, and nothing at all to a worker."""
    wakeup = Wakeup()
    os.kill(os.getpid(), signal.SIGHUP)
    select.select([wakeup], [], [], _DEADLINE_S)
    came = wakeup.signals()
    if (child := os.fork()) == 0:
        wakeup.forget()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
        os._exit(7)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    wakeup.close()
    is_as_before = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    return [signal.SIGHUP in came, status, is_as_before]


def failing_starts() -> object:
    """When no worker can start, the supervisor ends with an error: here their sockets have no directory to be in."""
    from config.load import SettingsLoader  # noqa: PLC0415 - the other scenarios need not wait for them
    from proxy.app import identity_of  # noqa: PLC0415
    from proxy.workers.listening import Listening  # noqa: PLC0415
    from proxy.workers.supervisor import Supervisor  # noqa: PLC0415

    given = {"--data-dir": [str(Path.cwd())], "--listen": ["127.0.0.1:0"], "--admin": ["127.0.0.1:0"]}
    loader = SettingsLoader(None, given, {"HOME": str(Path.cwd())}, "production")
    settings = loader.load()
    supervisor = Supervisor(
        loader,
        settings,
        identity=identity_of(settings),
        listening=Listening.bind(settings, 2),
        directory=Path.cwd() / "absent",
        count=2,
    )
    return supervisor.run(lambda _: None, None)


SCENARIOS = {
    each.__name__: each for each in (statuses, signals, bugs, orphans, replacements, readiness, wakeups, failing_starts)
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(SCENARIOS[sys.argv[1]]()) + "\n")
