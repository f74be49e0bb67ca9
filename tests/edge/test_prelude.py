"""An origin that is listened to before its client has said anything."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from config.schema import Upstream
from proxy.edge.prelude import Prelude
from proxy.exchange.errors import UpstreamError
from proxy.tasks import TaskSet
from proxy.upstream.dial import Dialer
from proxy.upstream.resolver import Resolver
from tests.support.origins import origin
from tests.support.waiting import until

HOST = "127.0.0.1"


class Origin:
    """What the test wants to know of the origin's side, and makes it do."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.ended = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while data := await reader.read(100):
                writer.write(data.upper())
        finally:
            self.ended += 1


class Listener:
    """One prelude, and what it has told."""

    def __init__(self, port: int) -> None:
        self.told: list[str] = []
        self.tasks = TaskSet()
        self.prelude = Prelude(HOST, port, lambda: self.told.append("open"), lambda: self.told.append("word"))
        dialer = Dialer(Upstream(), Resolver({}, ignore_hosts_file=False))
        self.prelude.start(dialer, self.tasks, dead_peer_s=60)

    async def until_told(self, *events: str) -> None:
        await until(lambda: self.told == list(events), f"{events} were told")


@pytest.fixture
async def there() -> AsyncIterator[tuple[Origin, Listener]]:
    """A prelude to an origin that is silent."""
    made = Origin()
    async with origin(made.serve) as port:
        listener = Listener(port)
        await listener.until_told("open")
        await until(lambda: bool(made.writers), "the origin has it")
        yield made, listener
        listener.prelude.close()
        await listener.tasks.cancel()


async def test_what_the_origin_says_first_is_kept(there: tuple[Origin, Listener]) -> None:
    made, listener = there
    made.writers[0].write(b"220 hello")
    await listener.until_told("open", "word")
    opened = await listener.prelude.take()
    assert opened is not None
    assert opened.greeting == b"220 hello"
    opened.writer.write(b"ehlo")
    assert await opened.reader.read(10) == b"EHLO"
    opened.writer.close()


async def test_an_origin_that_ends_is_told_too(there: tuple[Origin, Listener]) -> None:
    made, listener = there
    made.writers[0].transport.abort()
    await listener.until_told("open", "word")
    opened = await listener.prelude.take()
    assert opened is not None
    assert opened.greeting == b""
    opened.writer.close()


async def test_a_silent_one_that_is_taken_is_whole_and_tells_no_more(there: tuple[Origin, Listener]) -> None:
    _, listener = there
    opened = await listener.prelude.take()
    assert opened is not None
    opened.writer.write(b"first")
    assert await opened.reader.read(10) == b"FIRST"
    assert listener.told == ["open"]
    assert not len(listener.tasks)
    opened.writer.close()


async def test_it_is_taken_once(there: tuple[Origin, Listener]) -> None:
    _, listener = there
    opened = await listener.prelude.take()
    assert opened is not None
    assert await listener.prelude.take() is None
    listener.prelude.close()
    opened.writer.write(b"still")
    assert await opened.reader.read(10) == b"STILL"
    opened.writer.close()


async def test_one_that_is_not_wanted_is_closed(there: tuple[Origin, Listener]) -> None:
    made, listener = there
    listener.prelude.close()
    await until(lambda: made.ended == 1, "the origin sees the end")
    assert await listener.prelude.take() is None


async def test_one_whose_task_is_cancelled_is_closed(there: tuple[Origin, Listener]) -> None:
    made, listener = there
    await listener.tasks.cancel()
    await until(lambda: made.ended == 1, "the origin sees the end")
    assert await listener.prelude.take() is None


async def test_one_that_is_not_open_yet_is_waited_for() -> None:
    made = Origin()
    async with origin(made.serve) as port:
        listener = Listener(port)
        opened = await listener.prelude.take()
        assert opened is not None
        opened.writer.write(b"first")
        assert await opened.reader.read(10) == b"FIRST"
        opened.writer.close()
    assert listener.told == []
    assert (len(made.writers), len(listener.tasks)) == (1, 0)


async def test_one_that_fails_when_it_is_taken_is_a_failure() -> None:
    async with origin(Origin().serve) as port:
        pass
    listener = Listener(port)
    with pytest.raises(UpstreamError):
        await listener.prelude.take()


@pytest.mark.parametrize("is_open", [False, True])
async def test_whoever_leaves_while_it_is_taken_leaves_no_connection(*, is_open: bool) -> None:
    made = Origin()
    async with origin(made.serve) as port:
        listener = Listener(port)
        if is_open:
            await listener.until_told("open")
        taking = asyncio.ensure_future(listener.prelude.take())
        await asyncio.sleep(0)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        await until(lambda: not len(listener.tasks) and made.ended == len(made.writers), "nothing is left")
        assert await listener.prelude.take() is None


async def test_an_origin_that_cannot_be_reached_is_not_told() -> None:
    async with origin(Origin().serve) as port:
        pass
    listener = Listener(port)
    await until(lambda: not len(listener.tasks), "it was tried")
    assert listener.told == []
    assert await listener.prelude.take() is None
    assert listener.prelude.leads_to(HOST, port)
    assert not listener.prelude.leads_to(HOST, port + 1)
