"""A flight against a model of it, over random interleavings of receiving, joining, reading and leaving.

The model is a list of the bytes received so far. Whatever happens in whatever order, what a reader has read is a prefix
of that list; at the end it is all of it, unless the reader left, or was cut off because it fell too far behind.
"""

import asyncio
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange.errors import UpstreamError
from proxy.exchange.flight import Flight
from proxy.exchange.model import Body, Exchange, Response
from proxy.tasks import TaskSet
from tests.support.exchanges import Fed, answer, exchange, turns

KEEP, LAG, LARGEST = 40, 25, 9

steps = st.lists(
    st.one_of(
        st.tuples(st.just("receive"), st.integers(1, LARGEST)),
        st.tuples(st.just("join"), st.just(0)),
        st.tuples(st.just("read"), st.integers(0, 5)),
        st.tuples(st.just("leave"), st.integers(0, 5)),
    ),
    max_size=60,
)


@dataclass(slots=True)
class Reader:
    """One reader, and what it has come to."""

    body: Body
    got: bytes = b""
    reading: "asyncio.Task[bytes | None] | None" = None
    left: bool = False
    failure: str = ""
    found: int = 0
    at_end: bool = field(default=False)

    async def take(self) -> None:
        """Read on if nothing is being waited for; note what has come."""
        if self.reading is None and not (self.left or self.failure or self.at_end):
            self.reading = asyncio.ensure_future(self.body.read())
        await turns(4)
        self.note()

    def note(self) -> None:
        if self.reading is None or not self.reading.done():
            return
        reading, self.reading = self.reading, None
        try:
            chunk = reading.result()
        except UpstreamError as failure:
            self.failure = failure.code
            return
        if chunk is None:
            self.at_end = True
        else:
            self.got += chunk

    async def leave(self) -> None:
        if self.reading is not None:
            self.reading.cancel()
            await asyncio.wait([self.reading])
            self.reading = None
        self.left = True
        await self.body.aclose()


async def play(script: list[tuple[str, int]], *, breaks: bool) -> None:
    fed, tasks = Fed(), TaskSet()
    flight = Flight(exchange(), keep_bytes=KEEP, lag_bytes=LAG)

    async def handle(called: Exchange) -> Response:
        return answer(fed)

    flight.start(tasks, handle, lambda: None)
    first = await flight.join()
    assert not isinstance(first.body, bytes)
    readers = [Reader(first.body)]
    sent = bytearray()
    for what, number in script:
        if what == "receive":
            piece = bytes(len(sent) + i & 0xFF for i in range(number))
            sent += piece
            fed.feed(piece)
            await turns(4)
        elif what == "join" and flight.joinable:
            joined = await flight.join()
            assert not isinstance(joined.body, bytes)
            readers.append(Reader(joined.body, found=len(sent)))
        elif what == "read":
            await readers[number % len(readers)].take()
        elif what == "leave":
            await readers[number % len(readers)].leave()
            await turns(4)
        for reader in readers:
            reader.note()
            assert sent.startswith(reader.got)
        # Kept for late readers, for the slowest one, and ahead of the fastest.
        assert flight.kept_bytes <= KEEP + max(reader.found for reader in readers) + 2 * LAG + 2 * LARGEST
    everybody_left = all(reader.left or reader.failure for reader in readers)
    fed.fail() if breaks else fed.end()
    for reader in readers:
        while not (reader.left or reader.failure or reader.at_end):
            await reader.take()
    await turns(10)
    assert len(tasks) == 0
    assert fed.closed == 1
    for reader in readers:
        if reader.left:
            continue
        if reader.failure == "reader_too_slow":
            assert len(readers) > 1
            assert len(sent) - len(reader.got) > LAG
            continue
        assert reader.got == sent
        assert reader.failure == ("http_response_incomplete" if breaks else "")
    assert everybody_left or any(reader.got == sent for reader in readers if not reader.left)


@given(steps, st.booleans())
def test_whatever_the_order_every_reader_gets_what_was_received(script: list[tuple[str, int]], breaks: bool) -> None:
    asyncio.run(play(script, breaks=breaks))
