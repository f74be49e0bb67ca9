"""What an exchange no longer holds once its answer has begun, and what it still knows of it."""

from proxy.exchange.model import Body
from tests.support.exchanges import Pieces, exchange, request


def test_a_body_that_was_let_go_keeps_its_size() -> None:
    called = exchange(request(body=b'{"model":"m"}'))
    called.json = {"model": "m"}
    assert called.body_size == 13
    called.let_body_go()
    assert (called.request.body, called.json, called.body_size) == (b"", None, 13)
    called.let_body_go()
    assert called.body_size == 13


def test_a_body_that_arrives_in_pieces_is_left_alone() -> None:
    body: Body = Pieces(b"a", b"b")
    called = exchange(request(body=body))
    called.let_body_go()
    assert (called.request.body, called.body_size) == (body, 0)
