"""A request body that is relayed while it comes."""

import asyncio

import pytest

from proxy.edge.request_body import StreamedRequestBody
from proxy.exchange.errors import UpstreamError
from tests.support.exchanges import turns


async def test_pieces_come_in_order_and_then_the_end() -> None:
    taken: list[int] = []
    body = StreamedRequestBody(taken.append)
    body.put(b"aa")
    body.put(b"b")
    assert body.queued == 3
    body.end()
    assert [await body.read() for _ in range(4)] == [b"aa", b"b", None, None]
    assert taken == [2, 1]
    assert body.queued == 0


async def test_a_reader_waits_for_the_next_piece() -> None:
    body = StreamedRequestBody(lambda count: None)
    reading = asyncio.ensure_future(body.read())
    await turns()
    assert not reading.done()
    body.put(b"a")
    assert await reading == b"a"
    reading = asyncio.ensure_future(body.read())
    await turns()
    body.end()
    assert await reading is None


async def test_what_came_before_a_client_broke_off_is_read_first() -> None:
    body = StreamedRequestBody(lambda count: None)
    body.put(b"a")
    body.fail()
    assert await body.read() == b"a"
    with pytest.raises(UpstreamError) as raised:
        await body.read()
    assert (raised.value.code, raised.value.status) == ("http_request_error", 400)


async def test_closing_lets_go_of_what_is_queued() -> None:
    body = StreamedRequestBody(lambda count: None)
    body.put(b"a" * 100)
    await body.aclose()
    assert body.queued == 0
