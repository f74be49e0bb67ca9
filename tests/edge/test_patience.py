"""Deadlines of a client's connection, and what becomes of one that does not read."""

import asyncio
import gc
import weakref
from typing import cast

from proxy.edge.patience import Looks, Patience


class Transport:
    """Something is waiting in it to be read by the client, or nothing."""

    def __init__(self) -> None:
        self.unread = 0
        self.aborted = 0

    def get_write_buffer_size(self) -> int:
        return self.unread

    def abort(self) -> None:
        self.aborted += 1


class Watched:
    """A transport and its Patience, under a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.transport = Transport()
        self.late = 0
        self.looks = Looks()
        self.patience = Patience(
            cast(asyncio.WriteTransport, self.transport),
            self.looks,
            stalled_s=60.0,
            on_deadline=self._late,
            clock=lambda: self.now,
        )

    def _late(self) -> None:
        self.late += 1

    def after(self, seconds: float, unread: int = 0) -> None:
        self.now += seconds
        self.transport.unread = unread
        self.patience.look()


def test_without_a_deadline_nothing_happens() -> None:
    watched = Watched()
    watched.after(1e9)
    watched.patience.expect_within(5)
    watched.patience.no_deadline()
    watched.after(1e9)
    assert (watched.late, watched.transport.aborted) == (0, 0)


def test_a_deadline_that_passes_is_told_at_each_look() -> None:
    watched = Watched()
    watched.patience.expect_within(5)
    watched.after(5)
    assert watched.late == 0
    watched.after(1)
    watched.after(1)
    assert watched.late == 2


def test_a_client_that_reads_nothing_is_cut_off() -> None:
    watched = Watched()
    watched.after(0, unread=100)
    watched.after(60, unread=100)
    assert watched.transport.aborted == 0
    watched.after(1, unread=100)
    assert watched.transport.aborted == 1


def test_a_client_that_reads_slowly_is_not() -> None:
    watched = Watched()
    for unread in range(1000, 0, -1):
        watched.after(59, unread=unread)
    assert watched.transport.aborted == 0


def test_more_to_read_is_no_sign_of_reading() -> None:
    watched = Watched()
    for unread in range(1, 10):
        watched.after(10, unread=unread)
    assert watched.transport.aborted > 0


async def test_each_is_looked_at_once_a_round_until_it_is_stopped() -> None:
    watched = Watched()
    looks, other = watched.looks, Watched()
    watched.patience.start()
    watched.patience.expect_within(-1)
    looks.tick()
    looks.add(other.patience)
    other.patience.expect_within(-1)
    for _ in range(4):
        assert (watched.late, other.late) == (0, 0)
        looks.tick()
    assert (watched.late, other.late) == (1, 0)
    watched.patience.stop()
    looks.tick()
    assert (watched.late, other.late) == (1, 1)
    looks.discard(other.patience)
    assert looks._timer is None


def test_what_is_looked_at_after_its_end_is_nobodys_lateness() -> None:
    watched = Watched()
    watched.patience.expect_within(-1)
    watched.patience.stop()
    watched.patience.look()
    assert watched.late == 0


def test_one_that_never_began_can_be_stopped() -> None:
    Watched().patience.stop()


def test_a_connection_that_is_gone_is_not_kept_until_a_collection() -> None:
    class Connection:
        def __init__(self) -> None:
            transport = cast(asyncio.WriteTransport, Transport())
            self.patience = Patience(transport, Looks(), stalled_s=60.0, on_deadline=self.close)

        def close(self) -> None:
            """Late."""

    connection = Connection()
    gone = weakref.ref(connection)
    connection.patience.stop()
    gc.disable()
    try:
        del connection
        assert gone() is None
    finally:
        gc.enable()
