"""Bytes between a client and an origin, in both directions, half-closes included."""

import asyncio
from typing import cast

from proxy.edge.relay import Relay
from proxy.tasks import TaskSet
from tests.support.exchanges import turns


class ClientSide:
    """The client's half, as a log."""

    def __init__(self) -> None:
        self.got = b""
        self.log: list[str] = []
        self.room = asyncio.Event()
        self.room.set()

    def send(self, data: bytes) -> None:
        self.got += data

    async def drain(self) -> None:
        await self.room.wait()

    def send_eof(self) -> None:
        self.log.append("eof")

    def close(self) -> None:
        self.log.append("close")

    def pause(self) -> None:
        self.log.append("pause")

    def resume(self) -> None:
        self.log.append("resume")


class Writer:
    """The origin's half."""

    def __init__(self, *, half_closes: bool = True) -> None:
        self.sent = b""
        self.waiting = 0
        self.eof = False
        self.closed = False
        self.drained = asyncio.Event()
        self._half_closes = half_closes

    @property
    def transport(self) -> "Writer":
        return self

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closed

    async def drain(self) -> None:
        await self.drained.wait()
        if self.closed:
            raise ConnectionResetError

    def can_write_eof(self) -> bool:
        return self._half_closes

    def write_eof(self) -> None:
        self.eof = True

    def close(self) -> None:
        self.closed = True


class Relayed:
    """A relay between the two."""

    def __init__(self, *, half_closes: bool = True) -> None:
        self.client = ClientSide()
        self.reader = asyncio.StreamReader()
        self.writer = Writer(half_closes=half_closes)
        self.tasks = TaskSet()
        self.relay = Relay(self.client, self.reader, cast(asyncio.StreamWriter, self.writer), self.tasks)
        self.seen = 0

    def run(self) -> "asyncio.Task[None]":
        def count(size: int) -> None:
            self.seen += size

        return asyncio.ensure_future(self.relay.run(count))


async def test_bytes_go_both_ways() -> None:
    relayed = Relayed()
    running = relayed.run()
    relayed.relay.from_client(b"question")
    relayed.reader.feed_data(b"answer")
    await turns()
    assert relayed.writer.sent == b"question"
    assert relayed.client.got == b"answer"
    assert relayed.seen == 6
    relayed.reader.feed_eof()
    await running
    assert relayed.client.log == ["eof"]


async def test_the_client_may_end_first() -> None:
    relayed = Relayed()
    running = relayed.run()
    relayed.relay.client_eof()
    assert relayed.writer.eof
    assert not relayed.writer.closed
    relayed.reader.feed_data(b"still coming")
    relayed.reader.feed_eof()
    await running
    assert relayed.client.got == b"still coming"
    assert relayed.client.log == ["close"]


async def test_the_origin_may_end_first() -> None:
    relayed = Relayed()
    running = relayed.run()
    relayed.reader.feed_eof()
    await running
    relayed.relay.from_client(b"more")
    assert relayed.writer.sent == b"more"
    relayed.relay.client_eof()
    assert relayed.client.log == ["eof", "close"]


async def test_an_origin_behind_tls_is_told_by_closing() -> None:
    relayed = Relayed(half_closes=False)
    relayed.relay.client_eof()
    assert relayed.writer.closed
    relayed.relay.client_eof()


async def test_a_client_faster_than_its_origin_is_paused() -> None:
    relayed = Relayed()
    relayed.writer.waiting = 10_000_000
    relayed.relay.from_client(b"a")
    relayed.relay.from_client(b"b")
    assert relayed.client.log == ["pause"]
    relayed.writer.waiting = 0
    relayed.writer.drained.set()
    await turns()
    assert relayed.client.log == ["pause", "resume"]
    relayed.writer.waiting = 10_000_000
    relayed.relay.from_client(b"c")
    await turns()
    assert relayed.client.log == ["pause", "resume"] * 2
    assert relayed.writer.sent == b"abc"


async def test_an_origin_faster_than_its_client_is_read_slowly() -> None:
    relayed = Relayed()
    relayed.client.room.clear()
    running = relayed.run()
    relayed.reader.feed_data(b"a")
    await turns()
    relayed.reader.feed_data(b"b")
    await turns()
    assert relayed.client.got == b"a"
    relayed.client.room.set()
    await turns()
    assert relayed.client.got == b"ab"
    relayed.reader.feed_eof()
    await running


async def test_a_broken_origin_closes_the_client() -> None:
    relayed = Relayed()
    running = relayed.run()
    relayed.reader.set_exception(ConnectionResetError())
    await running
    assert relayed.client.log == ["close"]


async def test_breaking_off_stops_everything() -> None:
    relayed = Relayed()
    relayed.writer.waiting = 10_000_000
    relayed.relay.from_client(b"a")
    relayed.relay.close()
    await turns()
    assert relayed.writer.closed
    assert len(relayed.tasks) == 0
    relayed.relay.from_client(b"late")
    assert relayed.writer.sent == b"a"


async def test_an_origin_that_breaks_while_it_is_waited_for_resumes_the_client() -> None:
    relayed = Relayed()
    relayed.writer.waiting = 10_000_000
    relayed.relay.from_client(b"a")
    relayed.writer.closed = True
    relayed.writer.drained.set()
    await turns()
    assert relayed.client.log == ["pause", "resume"]
