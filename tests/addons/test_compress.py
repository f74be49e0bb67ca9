"""Codings towards the client and towards the origin, as a matrix."""

import random
import zlib

import pytest

from addons.compress import Compress, TowardsOrigin, asked_of_origin
from addons.observe import Observe
from config.schema import Compression, Settings
from proxy.exchange.errors import UpstreamError
from proxy.exchange.headers import HeaderList, first, joined
from proxy.exchange.model import Ending, Exchange, Request, Response
from proxy.tasks import TaskSet
from proxy.wire.coding import decoder, encode
from tests.addons.streams import CHATTING, chatting, consumed
from tests.support.exchanges import (
    CHAT,
    JSON,
    SSE,
    Origin,
    Pieces,
    Watching,
    answer,
    calling,
    exchange,
    request,
    settings,
)

LONG = b'{"text":"' + b"Hello there. " * 200 + b'"}'
SSE_TEXT = b'data: {"a":1}\n\n' * 30


def coded(coding: str, body: bytes = LONG, *, streamed: bool = False) -> Response:
    packed = encode(coding, body)
    headers: HeaderList = [*JSON, (b"content-encoding", coding.encode())] if coding != "identity" else list(JSON)
    return answer(
        Pieces(*[packed[i : i + 10] for i in range(0, len(packed), 10)]) if streamed else packed, 200, headers
    )


def plain(response: Response, body: bytes) -> bytes:
    """What the client reads."""
    reader = decoder(joined(response.headers, b"content-encoding").decode() or "identity")
    assert reader is not None
    return reader.decode(body) + reader.flush()


async def answered(
    response: Response,
    accepts: bytes | None = None,
    client: str = "127.0.0.1",
    method: str = "POST",
    compression: dict[str, object] | None = None,
) -> Response:
    fields = [] if accepts is None else [(b"accept-encoding", accepts)]
    called = exchange(request(method=method, headers=fields), operation=CHATTING, client=client)
    return await Compress(Compression.model_validate(compression or {})).handle(called, Origin(response))


ACCEPTS: list[bytes | None] = [None, b"", b"identity", b"gzip", b"gzip, br", b"zstd;q=0.5, gzip", b"*", b"*;q=0, gzip"]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("coding", ["identity", "gzip", "br", "zstd", "deflate"])
@pytest.mark.parametrize("accepts", ACCEPTS)
async def test_every_client_gets_what_it_can_read(accepts: bytes | None, coding: str, streamed: bool) -> None:
    response = await answered(coded(coding, streamed=streamed), accepts)
    body = await consumed(response)
    assert plain(response, body) == LONG
    got = joined(response.headers, b"content-encoding").decode()
    allowed = {None: "", b"": "", b"identity": "", b"gzip": "gzip", b"gzip, br": "gzip br"}.get(accepts)
    if allowed is not None:
        assert got == "" or got in allowed.split()
    if accepts == b"*;q=0, gzip" and not streamed:
        assert got == "gzip"  # it said that it does not take it plain


async def test_what_the_client_takes_is_passed_as_it_is() -> None:
    original = coded("br")
    response = await answered(original, b"gzip, br")
    assert (response.body, response.headers) == (original.body, original.headers)


async def test_without_the_field_a_client_is_given_plain_text() -> None:
    response = await answered(coded("gzip"))
    assert response.body == LONG
    assert first(response.headers, b"content-encoding") is None


async def test_a_head_answer_is_not_touched() -> None:
    original = answer(b"", headers=[*JSON, (b"content-encoding", b"gzip")])
    assert (await answered(original, method="HEAD")).headers == original.headers


async def test_an_unknown_coding_is_passed_as_it_is() -> None:
    original = answer(LONG, headers=[*JSON, (b"content-encoding", b"rot13")])
    response = await answered(original, b"gzip", client="10.0.0.1")
    assert (response.body, response.headers) == (LONG, original.headers)


async def test_a_broken_coding_is_the_origins_failure() -> None:
    with pytest.raises(UpstreamError) as raised:
        await answered(answer(b"not gzip", headers=[*JSON, (b"content-encoding", b"gzip")]))
    assert raised.value.code == "http_response_content_coding"


async def test_several_codings_in_a_row_are_taken_off() -> None:
    body = encode("br", encode("gzip", LONG))
    response = await answered(
        answer(body, headers=[*JSON, (b"content-encoding", b"gzip"), (b"content-encoding", b"br")])
    )
    assert response.body == LONG


@pytest.mark.parametrize(
    ("client", "compression", "is_coded"),
    [
        ("127.0.0.1", {}, False),
        ("127.8.8.8", {}, False),
        ("::1", {}, False),
        ("::ffff:127.0.0.1", {}, False),
        ("", {}, False),
        ("10.0.0.1", {}, True),
        ("fd00::1", {}, True),
        ("127.0.0.1", {"clients": "all"}, True),
        ("10.0.0.1", {"clients": "none"}, False),
        ("10.0.0.1", {"min_bytes": 1_000_000}, False),
    ],
)
async def test_plain_answers_are_compressed_for_who_is_far_away(
    client: str, compression: dict[str, object], is_coded: bool
) -> None:
    response = await answered(answer(LONG), b"gzip, br, zstd", client, compression=compression)
    assert (first(response.headers, b"content-encoding") == b"zstd") is is_coded
    assert (first(response.headers, b"vary") == b"accept-encoding") is is_coded
    assert plain(response, await consumed(response)) == LONG


@pytest.mark.parametrize(
    "response",
    [
        answer(LONG, headers=[(b"content-type", b"audio/mpeg")]),
        answer(b"short"),
        answer(b""),
        answer(LONG, 206),
        answer(LONG, headers=[*JSON, (b"cache-control", b"public, No-Transform")]),
        answer(Pieces(SSE_TEXT), headers=SSE),
    ],
    ids=["no text", "short", "empty", "partial", "no-transform", "stream"],
)
async def test_what_is_not_worth_it_or_not_allowed_stays_plain(response: Response) -> None:
    got = await answered(response, b"gzip", client="10.0.0.1")
    assert got is response or got.headers == response.headers
    assert first(got.headers, b"content-encoding") is None


async def test_a_client_that_takes_none_of_ours_gets_it_plain() -> None:
    assert (await answered(answer(LONG), b"deflate", client="10.0.0.1")).body == LONG
    assert (await answered(answer(LONG), b"identity;q=0, deflate")).body == LONG


async def test_a_stored_answer_is_decoded_without_spoiling_it() -> None:
    original = coded("gzip")
    body, headers = original.body, list(original.headers)
    await answered(original)
    assert (original.body, original.headers) == (body, headers)


# -- decoding piece by piece


async def decoding(body: Pieces, accepts: bytes | None = None) -> tuple[Response, Exchange, Watching]:
    tap, called = Watching(), chatting()
    called.watchers.append(lambda response: tap)
    origin = Origin(answer(body, headers=[*SSE, (b"content-encoding", b"gzip")]))
    response = await calling(Compress(Compression()), Observe(TaskSet()), end=origin)(called)
    return response, called, tap


def flushed(*pieces: bytes) -> list[bytes]:
    """gzip, each piece in a block that can be read when it comes."""
    packer = zlib.compressobj(wbits=31)
    blocks = [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
    return [*blocks, packer.flush()]


async def test_an_event_is_decoded_when_it_comes() -> None:
    events = [b"data: 1\n\n", b"data: 2\n\n"]
    response, _, tap = await decoding(Pieces(*flushed(*events)))
    assert not isinstance(response.body, bytes)
    assert [await response.body.read() for _ in range(3)] == [*events, None]
    assert await response.body.read() is None
    assert b"".join(tap.seen) == b"".join(flushed(*events))  # taps see what the origin sent
    assert tap.endings == [Ending.COMPLETE]


async def test_a_stream_cut_off_inside_its_coding_is_broken_off() -> None:
    response, _, _ = await decoding(Pieces(*flushed(b"data: 1\n\n")[:-1]))
    with pytest.raises(UpstreamError):
        await consumed(response)


async def test_garbage_in_a_coded_stream_breaks_it_off() -> None:
    response, called, tap = await decoding(Pieces(b"garbage"))
    with pytest.raises(UpstreamError):
        await consumed(response)
    assert tap.endings == [Ending.TRUNCATED]
    assert called.call is not None
    assert called.call.ended


async def test_a_broken_origin_is_told_to_the_taps() -> None:
    response, _, tap = await decoding(Pieces(flushed(b"data: 1\n\n")[0], UpstreamError("x", "cut")))
    with pytest.raises(UpstreamError):
        await consumed(response)
    assert tap.endings == [Ending.TRUNCATED]


async def test_a_client_that_leaves_is_told_to_the_taps() -> None:
    body = Pieces(*flushed(b"data: 1\n\n", b"data: 2\n\n"))
    response, _, tap = await decoding(body)
    await consumed(response, limit=1)
    assert tap.endings == [Ending.ABANDONED]
    assert body.closed


# -- towards the origin


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        (None, b"zstd, br, gzip"),
        (b"", b"zstd, br, gzip"),
        (b"identity", b"zstd, br, gzip"),
        (b"deflate", b"zstd, br, gzip"),
        (b"gzip", b"gzip"),
        (b"gzip, br", b"br, gzip"),
        (b"gzip, br;q=0.5", b"gzip, br"),
        (b"gzip;q=0, br", b"br"),
        (b"*", b"zstd, br, gzip"),
    ],
)
def test_what_the_origin_is_asked_for(wanted: bytes | None, asked: bytes) -> None:
    assert asked_of_origin(wanted) == asked


async def sent(called: Exchange, configured: Settings | None = None) -> tuple[HeaderList, bytes]:
    origin, before = Origin(answer()), called.request
    await TowardsOrigin(configured or Settings()).handle(called, origin)
    assert called.request is before
    body = origin.asked[0].body
    assert isinstance(body, bytes)
    return origin.asked[0].headers, body


async def test_an_answer_in_one_piece_is_asked_for_compressed() -> None:
    headers, _ = await sent(exchange(request(headers=[(b"accept-encoding", b"identity")]), operation=CHATTING))
    assert [value for name, value in headers if name == b"accept-encoding"] == [b"zstd, br, gzip"]


async def test_streams_and_unknown_calls_are_asked_for_as_the_client_did() -> None:
    fields = [(b"accept-encoding", b"gzip")]
    unknown = exchange(request(headers=fields))
    streamed = chatting()
    streamed.request.headers += fields
    for called in (unknown, streamed):
        headers, _ = await sent(called)
        assert first(headers, b"accept-encoding") == b"gzip"
    configured = settings(compression={"ask_upstream": False})
    headers, _ = await sent(exchange(request(headers=fields), operation=CHATTING), configured)
    assert first(headers, b"accept-encoding") == b"gzip"


ACCEPTING = settings(upstream={"compress_requests": {"api.openai.com": "zstd"}})
LARGE = CHAT.replace(b"hi", b"hi " * 2000)


async def test_request_bodies_are_compressed_for_origins_that_take_it() -> None:
    headers, body = await sent(exchange(request(LARGE)), ACCEPTING)
    assert first(headers, b"content-encoding") == b"zstd"
    reader = decoder("zstd")
    assert reader is not None
    assert reader.decode(body) == LARGE


@pytest.mark.parametrize(
    "asked",
    [
        request(CHAT),
        request(LARGE, host="api.anthropic.com"),
        request(LARGE, headers=[(b"content-encoding", b"gzip")]),
        request(random.Random(1).randbytes(2000)),
    ],
    ids=["short", "another origin", "coded already", "no saving"],
)
async def test_other_bodies_are_sent_as_they_are(asked: Request) -> None:
    fields, body = list(asked.headers), asked.body
    strict = settings(
        upstream={"compress_requests": {"api.openai.com": "zstd"}, "compress_min_saving": 0.1},
        compression={"ask_upstream": False},
    )
    assert await sent(exchange(asked), strict) == (fields, body)


async def test_a_streamed_body_is_relayed_as_it_comes() -> None:
    origin, called = Origin(answer()), exchange(request(Pieces(LARGE)))
    await TowardsOrigin(ACCEPTING).handle(called, origin)
    assert origin.asked[0].body is called.request.body


async def test_the_request_is_put_back_after_a_failure() -> None:
    called = exchange(request(LARGE), operation=CHATTING)
    before = called.request
    with pytest.raises(UpstreamError):
        await TowardsOrigin(ACCEPTING).handle(called, Origin(UpstreamError("x", "y")))
    assert called.request is before
