"""The small parts of a fleet: back-off, the board, shares of limits, links, handing on, the private directory."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.schema import Settings
from proxy.workers.backoff import FIRST_S, LAST_S, STABLE_S, Backoff
from proxy.workers.board import Board
from proxy.workers.directory import leave, private_directory, remove_abandoned
from proxy.workers.handing import Handing, Inboxes, fewest
from proxy.workers.link import READY, STOP, Link
from proxy.workers.place import WorkerPlace
from proxy.workers.share import share_of


def test_a_worker_that_had_worked_is_replaced_at_once() -> None:
    assert Backoff().delay_s(STABLE_S) == 0


def test_one_that_ends_at_its_start_waits_longer_each_time() -> None:
    backoff = Backoff()
    delays = [backoff.delay_s(0.1) for _ in range(40)]
    assert delays[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert delays[-1] == LAST_S


def test_a_long_life_is_a_fresh_start() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.delay_s(0)
    backoff.delay_s(STABLE_S)
    assert backoff.delay_s(0) == FIRST_S


def test_the_board_knows_each_place() -> None:
    board = Board(2, supervisor=1)
    board.began(1, 4711)
    board.became_ready(1)
    board.set_connections(1, 7)
    assert (board.pid(1), board.is_ready(1), board.connections(1)) == (4711, True, 7)
    assert (board.pid(0), board.is_ready(0), board.connections(0)) == (0, False, 0)
    board.ended(1)
    board.was_replaced(1)
    board.began(1, 4712)
    assert (board.pid(1), board.is_ready(1), board.connections(1), board.restarts(1)) == (4712, False, 0, 1)
    board.close()


def test_the_board_counts_what_is_under_way() -> None:
    board = Board(3, supervisor=1)
    board.sent(0, 2)
    board.sent(1, 2)
    board.taken(0, 2)
    assert [board.under_way(index) for index in range(3)] == [0, 0, 1]
    board.close()


def test_the_board_counts_changes_of_settings() -> None:
    board = Board(2, supervisor=1)
    board.settings_changed(applied=True)
    board.settings_changed(applied=False)
    board.settings_changed(applied=False)
    assert board.changes_of_settings() == (1, 2)
    assert board.under_way(1) == 0
    board.close()


def test_limits_of_the_whole_are_divided_and_others_are_not() -> None:
    settings = Settings()
    part = share_of(settings, WorkerPlace(0, 3, Path()))
    assert part.limits.max_connections == 3334
    assert part.cache.memory.repeats_max_bytes * 3 >= settings.cache.memory.repeats_max_bytes
    assert part.cache.memory.max_bytes == settings.cache.memory.max_bytes  # that is shared
    assert part.upstream.max_connections == 342
    assert part.ledger.queue_rows == 33_334
    assert part.limits.max_request_bytes == settings.limits.max_request_bytes


def test_the_only_worker_has_all() -> None:
    settings = Settings()
    assert share_of(settings, None) is settings
    assert share_of(settings, WorkerPlace(0, 1, Path())) is settings


def test_a_link_carries_orders_and_reports() -> None:
    ours, theirs = Link.pair()
    assert theirs.receive() == b""
    ours.send(STOP)
    theirs.send(READY)
    assert (theirs.receive(), ours.receive()) == (STOP, READY)
    ours.close()
    assert theirs.receive() is None
    theirs.send(READY)  # nobody is there, which is no failure
    theirs.close()


@pytest.mark.parametrize(
    ("own", "loads", "expected"),
    [
        (0, [0.0, 0.0], 0),
        (0, [1.0, 0.0], 1),
        (1, [1.0, 1.0], 1),
        (0, [9.0, 8.0], 0),  # a difference of one in eight is not worth it
        (0, [10.0, 8.0], 1),
        (0, [5.0, float("inf")], 0),
        (2, [3.0, 1.0, 4.0], 1),
    ],
)
def test_a_connection_goes_where_there_are_fewest(own: int, loads: list[float], expected: int) -> None:
    assert fewest(own, loads) == expected


async def test_a_connection_is_handed_on_with_its_bytes() -> None:
    board, inboxes = Board(2, supervisor=1), Inboxes(2)
    for index in range(2):
        board.became_ready(index)
    first, second = Handing(board, 0, inboxes), Handing(board, 1, inboxes)
    first.holds(1)
    client, accepted = socket.socketpair()
    client.send(b"hello")
    assert first.hand_on(accepted, 3)
    assert accepted.fileno() == -1
    assert board.under_way(1) == 1
    taken: list[tuple[socket.socket, int]] = []
    second._receive(lambda connection, listener: taken.append((connection, listener)))
    ((connection, listener),) = taken
    assert (connection.recv(10), listener, board.under_way(1)) == (b"hello", 3, 0)
    for each in (connection, client):
        each.close()
    inboxes.close()
    board.close()


def test_what_cannot_be_handed_on_is_kept() -> None:
    board, inboxes = Board(2, supervisor=1), Inboxes(2)
    for index in range(2):
        board.became_ready(index)
    handing = Handing(board, 0, inboxes)
    handing.holds(1)
    inboxes.into[1].close()
    client, accepted = socket.socketpair()
    assert not handing.hand_on(accepted, 0)
    assert accepted.fileno() != -1
    for each in (client, accepted):
        each.close()
    inboxes.close()
    board.close()


def test_nothing_is_handed_on_at_the_end() -> None:
    board, inboxes = Board(2, supervisor=1), Inboxes(2)
    for index in range(2):
        board.became_ready(index)
    handing = Handing(board, 0, inboxes)
    handing.holds(10)
    handing.keep()
    client, accepted = socket.socketpair()
    assert not handing.hand_on(accepted, 0)
    for each in (client, accepted):
        each.close()
    inboxes.close()
    board.close()


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose path leaves room for sockets."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def test_the_private_directory_is_private_and_goes(short: Path) -> None:
    with private_directory(short) as made:
        assert made.parent == short
        assert made.stat().st_mode & 0o777 == 0o700
        (made / "totals.0").write_text("x")
        remove_abandoned(short, "workers-")  # as another proxy does that starts meanwhile
        assert (made / "totals.0").exists()
    assert list(short.iterdir()) == []


def test_one_that_was_left_behind_is_taken_away(short: Path) -> None:
    (short / "workers-dead").mkdir()
    (short / "workers-dead" / "state.0").write_text("x")
    with private_directory(short) as made:
        assert list(short.iterdir()) == [made]


def test_a_long_data_directory_is_too_long_for_sockets(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(short))
    deep = short / ("x" * 100)
    deep.mkdir()
    with private_directory(deep) as made:
        assert made.parent == short


def test_the_last_to_leave_takes_the_directory(tmp_path: Path) -> None:
    for index in range(2):
        (tmp_path / f"state.{index}").write_text("x")
    leave(tmp_path, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["state.1"]
    leave(tmp_path, 1)
    assert not tmp_path.exists()
