"""Answers and those who wait for them, with bytes that the test writes."""

import asyncio
from unittest.mock import Mock

import pytest

from proxy.fleet.connection import LOST, Connection, ErrorReply, packed
from proxy.fleet.errors import RedisUnavailableError

ANSWERS = b"$3\r\none\r\n:2\r\n$-1\r\n-MOVED 1 a:2\r\n*2\r\n$1\r\nx\r\n*1\r\n:7\r\n"


class Transport(Mock):
    """Keeps what was written."""

    def __init__(self, **more: object) -> None:
        super().__init__(**more)
        self.get_extra_info = Mock(return_value=None)
        self.get_write_buffer_size = Mock(return_value=0)

    @property
    def written(self) -> list[bytes]:
        return [call.args[0] for call in self.write.call_args_list]


def connected(max_answer_bytes: int = 1000) -> tuple[Connection, Transport]:
    connection, transport = Connection(max_answer_bytes), Transport()
    connection.connection_made(transport)
    return connection, transport


async def test_calls_of_one_turn_go_out_in_one_write() -> None:
    connection, transport = connected()
    for key in ("a", "b", "c"):
        connection.ask(packed("GET", key))
    assert transport.written == []
    await asyncio.sleep(0)
    assert transport.written == [packed("GET", "a") + packed("GET", "b") + packed("GET", "c")]


@pytest.mark.parametrize("piece", [1, 2, 5, len(ANSWERS)])
async def test_answers_come_in_order_however_they_are_cut(piece: int) -> None:
    connection, _ = connected()
    waiters = [connection.ask(packed("PING")) for _ in range(5)]
    for at in range(0, len(ANSWERS), piece):
        connection.data_received(ANSWERS[at : at + piece])
    one, two, none, moved, nested = [waiter.result() for waiter in waiters]
    assert (one, two, none, nested) == (b"one", 2, None, [b"x", [7]])
    assert isinstance(moved, ErrorReply)
    assert (moved.code, moved.rest) == ("MOVED", "1 a:2")


async def test_a_cancelled_call_leaves_its_answer_to_nobody() -> None:
    connection, _ = connected()
    first, second = connection.ask(packed("GET", "a")), connection.ask(packed("GET", "b"))
    first.cancel()
    connection.data_received(b"$1\r\na\r\n")
    assert not second.done()
    connection.data_received(b"$1\r\nb\r\n")
    assert second.result() == b"b"


async def test_a_lost_connection_answers_all_who_wait_and_takes_no_more() -> None:
    connection, _ = connected()
    told = Mock()
    connection.on_lost = told
    waiter = connection.ask(packed("GET", "a"))
    connection.connection_lost(None)
    assert waiter.result() is LOST
    told.assert_called_once_with("connection_lost")
    with pytest.raises(RedisUnavailableError):
        connection.ask(packed("PING"))
    await asyncio.sleep(0)  # what was to be written is not


@pytest.mark.parametrize("answer", [b"no RESP at all\r\n", b"+OK\r\n"])
async def test_what_nobody_asked_for_ends_the_connection(answer: bytes) -> None:
    connection, transport = connected()
    told = Mock()
    connection.on_lost = told
    connection.data_received(answer)
    told.assert_called_once_with("protocol_error")
    transport.abort.assert_called_once()


async def test_an_answer_that_is_too_large_ends_the_connection() -> None:
    connection, _ = connected(max_answer_bytes=100)
    told = Mock()
    connection.on_lost = told
    waiter = connection.ask(packed("GET", "a"))
    connection.data_received(b"$1000\r\n" + b"x" * 200)
    told.assert_called_once_with("answer_too_large")
    assert waiter.result() is LOST


async def test_what_the_server_does_not_take_is_bounded() -> None:
    connection, transport = connected()
    transport.get_write_buffer_size.return_value = 40_000_000
    connection.ask(packed("PING"))
    await asyncio.sleep(0)
    with pytest.raises(RedisUnavailableError, match="busy"):
        connection.ask(packed("PING"))
    transport.get_write_buffer_size.return_value = 0
    connection.resume_writing()
    connection.ask(packed("PING"))


async def test_calls_that_wait_are_bounded() -> None:
    connection, _ = connected()
    for _ in range(8192):
        connection.ask(packed("PING"))
    with pytest.raises(RedisUnavailableError, match="busy"):
        connection.ask(packed("PING"))


def test_an_error_shows_its_code_alone() -> None:
    reply = ErrorReply("ERR unknown command 'X', with args beginning with: 'secret'")
    assert "secret" not in repr(reply) + str(reply)
    assert reply.code == "ERR"
