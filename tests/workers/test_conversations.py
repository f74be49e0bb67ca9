"""What workers do with one another when one of them is silent, talks nonsense, or goes."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy.exchange import frames
from proxy.exchange.errors import UpstreamError
from proxy.exchange.frames import Kind, PeerError, frame
from proxy.exchange.model import Response
from proxy.workers.claims import owner_of
from proxy.workers.conversation import Conversation, Patience
from proxy.workers.following import follow
from proxy.workers.leading import FlightServer
from tests.addons.streams import chatting, consumed
from tests.support.exchanges import SSE
from tests.support.waiting import until
from tests.workers.neighbours import neighbours

KEY = b"f" * 32
HEAD = frames.head(Response(200, list(SSE), None), None)  # type: ignore[arg-type]
WHOLE_HEAD = frames.head(Response(200, list(SSE), b"whole"), None)
TAKEN = frame(Kind.TAKEN)

type Script = Callable[[asyncio.StreamWriter], None]


@contextlib.asynccontextmanager
async def leader(path: Path, *said: bytes, hangs_up: bool = False) -> AsyncIterator[Path]:
    """A worker that says these bytes to whoever asks, whatever is asked; then it hangs up or falls silent."""
    writers: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readexactly(5)
        for piece in said:
            writer.write(piece)
        if hangs_up:
            writer.close()

    server = await asyncio.start_unix_server(talk, path)
    try:
        yield path
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def followed(path: Path, wait_s: float = 20.0) -> Response | None:
    return await follow(path, 1, KEY, chatting(), Patience(answer_s=wait_s, silence_s=wait_s))


@pytest.mark.parametrize(
    "said",
    [
        [],
        [frame(Kind.REFUSED)],
        [TAKEN],
        [TAKEN, frame(Kind.WAITING)],
        [TAKEN, frame(Kind.HEAD, b"{}")],
        [TAKEN, frame(Kind.CHUNK, b"early")],
        [TAKEN, frame(Kind.FAILED, b"[]")],
        [TAKEN, WHOLE_HEAD, frame(Kind.CHUNK, b"who")],
        [TAKEN, WHOLE_HEAD, frame(Kind.END, b"?")],
        [b"\0\0\0\0\x63"],
        [b"\xff\xff\xff\xff\x03"],
    ],
    ids=[
        "silence", "refusal", "no more", "only presence", "bad head", "no head", "bad failure", "half an answer",
        "bad end", "unknown frame", "endless frame",
    ],
)  # fmt: skip
@pytest.mark.parametrize("hangs_up", [True, False])
async def test_a_leader_that_gives_no_answer_is_given_up(tmp_path: Path, said: list[bytes], hangs_up: bool) -> None:
    async with leader(tmp_path / "s", *said, hangs_up=hangs_up) as path:
        assert await followed(path, wait_s=0.2) is None


async def test_a_leader_that_is_not_there_is_given_up(tmp_path: Path) -> None:
    assert await followed(tmp_path / "none") is None
    (tmp_path / "file").write_bytes(b"")
    assert await followed(tmp_path / "file") is None


@pytest.mark.parametrize("said", [[], [frame(Kind.TAKEN)], [frame(Kind.END, b"?")]], ids=["silence", "nonsense", "end"])
async def test_a_stream_that_its_leader_leaves_breaks_off(tmp_path: Path, said: list[bytes]) -> None:
    async with leader(tmp_path / "s", TAKEN, HEAD, frame(Kind.CHUNK, b"first"), *said) as path:
        response = await followed(path, wait_s=2.0)
        assert response is not None
        assert not isinstance(response.body, bytes)
        assert await response.body.read() == b"first"
        with pytest.raises(UpstreamError):
            await response.body.read()
        assert await response.body.read() is None
        await response.body.aclose()


async def test_a_leader_without_news_says_that_it_is_there(tmp_path: Path) -> None:
    async with neighbours(tmp_path, patience=Patience(presence_s=0.01)) as both:
        await both.workers[0].ask(chatting())
        reader, writer = await asyncio.open_unix_connection(tmp_path / "flights.0")
        writer.write(frames.ask(both.claims.look_up(KEY), KEY))
        head = frames.HEADER
        kinds: list[int] = []
        while kinds.count(Kind.WAITING) < 3:
            length, kind = head.unpack(await asyncio.wait_for(reader.readexactly(head.size), 20))
            await reader.readexactly(length)
            kinds.append(kind)
        assert kinds[:2] == [Kind.TAKEN, Kind.HEAD]
        writer.close()


async def test_a_leader_that_says_it_is_there_is_waited_for(tmp_path: Path) -> None:
    waiting = [frame(Kind.WAITING)] * 5
    said = [TAKEN, *waiting, WHOLE_HEAD, *waiting, frame(Kind.CHUNK, b"whole"), *waiting, frames.end(None)]
    async with leader(tmp_path / "s", *said) as path:
        response = await followed(path)
        assert response is not None
        assert (response.status, response.body) == (200, b"whole")


async def hello(path: Path, *said: bytes) -> Conversation:
    _, conversation = await asyncio.get_running_loop().create_unix_connection(Conversation, str(path))
    for piece in said:
        conversation.say(piece)
    return conversation


@pytest.mark.parametrize(
    "said",
    [frame(Kind.END), frame(Kind.ASK), frame(Kind.ASK, b"\x63" + KEY), b"\xff" * 50, b""],
    ids=["no question", "empty question", "another version", "nonsense", "silence"],
)
async def test_who_asks_nothing_sensible_is_hung_up_on(tmp_path: Path, said: bytes) -> None:
    async with neighbours(tmp_path, patience=Patience(answer_s=0.2)) as both:
        conversation = await hello(tmp_path / "flights.0", said)
        with pytest.raises(PeerError):
            await conversation.hear(5.0)
        conversation.close()
        await until(lambda: both.workers[0].peers.followers == 0, "it is forgotten")


async def test_what_nobody_leads_is_refused(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as both:
        await both.workers[0].ask(chatting())
        for owner, key in ((owner_of(1, 0), KEY), (owner_of(1, 0), b"g" * 32)):  # another process in this place
            conversation = await hello(tmp_path / "flights.0", frames.ask(owner, key))
            assert await conversation.hear(5.0) == (Kind.REFUSED, b"")
            conversation.close()


async def test_a_follower_that_reads_nothing_is_no_burden(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as both:
        first = both.workers[0]
        called = chatting()
        response = await first.ask(called)
        deaf = socket.socket(socket.AF_UNIX)
        with contextlib.closing(deaf):
            deaf.connect(str(tmp_path / "flights.0"))
            assert called.fingerprint is not None
            deaf.sendall(frames.ask(both.claims.look_up(called.fingerprint), called.fingerprint))
            await until(lambda: first.readers() == 2, "it follows")
            for _ in range(100):
                first.bodies[0].feed(b"x" * 100_000)
            first.bodies[0].end()
            assert len(await consumed(response)) == 10_000_000
        await until(lambda: first.peers.followers == 0, "it is gone")


async def test_another_users_process_is_hung_up_on(tmp_path: Path) -> None:
    server = FlightServer(tmp_path / "s", lambda owner, key: None, Patience(), user=os.getuid() + 1)
    await server.start()
    try:
        conversation = await hello(tmp_path / "s", frames.ask(1, KEY))
        with pytest.raises(PeerError):
            await conversation.hear(5.0)
        conversation.close()
        assert server.followers == 0
    finally:
        await server.stop(0)


async def test_a_place_for_a_socket_that_cannot_be_had_is_said(tmp_path: Path) -> None:
    server = FlightServer(tmp_path / "none" / "s", lambda owner, key: None, Patience(), user=os.getuid())
    with pytest.raises(OSError, match="No such file"):
        await server.start()
    await server.stop(0)
