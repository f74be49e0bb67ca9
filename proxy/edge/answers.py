"""Writing an answer to a client: whole, streamed, or one of our own that says what went wrong."""

import time
from collections.abc import Sequence

from proxy.edge.stream import ClientStream
from proxy.exchange.forward import forward, show_end
from proxy.exchange.headers import HeaderList
from proxy.exchange.model import Body, Ending, Exchange, Response
from proxy.exchange.provider import ErrorShape


def send_whole(stream: ClientStream, exchange: Exchange, response: Response, body: bytes) -> None:
    """An answer in one piece."""
    connection, codec = stream.connection, stream.connection.codec
    if stream.is_gone:
        exchange.error = "client_disconnected"
        return
    assert codec is not None
    exchange.first_byte_at = time.monotonic()
    if stream.head.method == b"HEAD":
        codec.send_head(stream.id, response.status, response.headers, content_length=response.content_length)
        codec.send_end(stream.id)
    else:
        codec.send_complete(stream.id, response.status, response.headers, body)
    stream.is_answering = True
    connection.flush()
    exchange.response_bytes = len(body)


async def send_streamed(stream: ClientStream, exchange: Exchange, response: Response, body: Body) -> None:
    """The head, then the body as it comes. Raises UpstreamError when that is cut off."""
    connection, codec = stream.connection, stream.connection.codec
    taps = response.taps
    if not stream.is_gone:  # else `on_disconnect: drain`: for the cache and the ledger
        assert codec is not None
        exchange.first_byte_at = time.monotonic()
        try:
            codec.send_head(stream.id, response.status, response.headers, content_length=response.content_length)
            stream.is_answering = True
            connection.flush()
        except Exception:  # a field that cannot be sent: nobody else would close the body
            show_end(taps, Ending.ABANDONED)
            await body.aclose()
            raise
    response.headers = []  # they are sent: not held for as long as the answer streams
    await forward(body, taps, stream)
    if stream.is_gone:
        exchange.error = "client_disconnected"
    elif codec is not None:
        codec.send_end(stream.id)
        connection.flush()


def answer(
    stream: ClientStream, status: int, shape: ErrorShape, code: str = "", fields: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """One of our own, unless the answer has begun. `code`: RFC 9209's word; `fields`: more of its head."""
    codec = stream.connection.codec
    if codec is None or stream.is_gone or stream.is_answering:
        return
    stream.is_answering = True
    headers: HeaderList = [(b"content-type", shape.content_type), *fields]
    if code:
        # RFC 9209: who failed, and how.
        headers.append((b"proxy-status", b"skinflint; error=" + code.encode()))
    codec.send_complete(stream.id, status, headers, shape.body)
    stream.connection.flush()


def plain_error(status: int, code: str, message: str) -> ErrorShape:
    """For a call that is for no provider."""
    text = message.replace("\\", "\\\\").replace('"', '\\"')
    kind = "invalid_request_error" if status < 500 else "upstream_error"
    return ErrorShape(
        b"application/json", f'{{"error":{{"message":"{text}","type":"{kind}","code":"{code}"}}}}'.encode()
    )
