"""Bodies that hand their pieces over in the turn in which they come: order, a full sink, and what goes wrong."""

from collections.abc import Callable

import pytest

from proxy.exchange.forward import forward
from proxy.exchange.model import Body, Pours


class Poured(Body, Pours):
    """Hands over these pieces; notes how often it was asked."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.asked = 0
        self.is_closed = False

    async def read(self) -> bytes | None:
        raise AssertionError("it is poured, not read")

    async def pour(self, take: Callable[[bytes], bool]) -> bool:
        self.asked += 1
        while self.pieces:
            if not take(self.pieces.pop(0)):
                return False
        return True

    async def aclose(self) -> None:
        self.is_closed = True


class Sink:
    def __init__(self, *, room: bool = True, failure: Exception | None = None) -> None:
        self.got: list[bytes] = []
        self.drained = 0
        self._room = room
        self._failure = failure

    def write(self, chunk: bytes) -> bool:
        if self._failure is not None:
            raise self._failure
        self.got.append(chunk)
        return self._room

    async def drain(self) -> None:
        self.drained += 1


async def test_all_pieces_go_in_one_pour_while_there_is_room() -> None:
    body, sink = Poured(b"a", b"b", b"c"), Sink()
    await forward(body, [], sink)
    assert sink.got == [b"a", b"b", b"c"]
    assert (body.asked, body.is_closed, sink.drained) == (1, True, 0)


async def test_a_full_sink_is_waited_for_after_each_piece() -> None:
    body, sink = Poured(b"a", b"b"), Sink(room=False)
    await forward(body, [], sink)
    assert sink.got == [b"a", b"b"]
    assert (body.asked, sink.drained) == (3, 2)


async def test_what_the_sink_raises_ends_the_body() -> None:
    body = Poured(b"a", b"b")
    with pytest.raises(ValueError, match="cannot be sent"):
        await forward(body, [], Sink(failure=ValueError("cannot be sent")))
    assert body.is_closed
    assert body.pieces == [b"b"]
