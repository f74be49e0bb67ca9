"""What goes wrong: clients that leave at every point, and origins that fail in every way.

Rules: as in acts.py. After an origin's failure the client must get an error's status or a message that is visibly cut
off, never half an answer that looks whole; after a client's, nothing may be left of it.
"""

import asyncio
import contextlib
import json
import ssl
from typing import Final

from bench.soak.acts import OPENAI, Act, World, chat, check_status
from bench.soak.client import Client, WrongAnswer, request

# An origin of its own: over HTTP/2 a failing connection takes the calls beside it with it.
_FAILING: Final = "api.groq.com"
_PATH: Final = "/openai/v1/chat/completions"

_FAULTS: Final[tuple[dict[str, object], ...]] = (
    {"failure": "reset"},
    {"failure": "close"},
    {"failure": "refuse"},
    {"failure": "garbage"},
    {"cut_after": 0},
    {"cut_after": 3},
    {"goaway": True},
    {"length_error": 7},
    {"status": 429, "retry_after": "1"},
    {"status": 500},
    {"status": 503},
)
_HARMLESS: Final[tuple[dict[str, object], ...]] = ({"close": True}, {"hang_up": True}, {"latency_s": 0.2})
_STALLS: Final[tuple[dict[str, object], ...]] = ({"stall_after": 0}, {"stall_after": 3}, {"latency_s": 30})


async def leave_before_the_request(world: World) -> None:
    """Before CONNECT, within it, before TLS, within its handshake, after it, within a head, within a body."""
    point = world.random.randrange(7)
    async with await Client.connect(world.port) as client:
        if point == 1:
            client.send(b"CONNECT api.openai.com:443 HT")
        elif point > 1:
            await client.tunnel(f"{OPENAI}:443")
        if point == 3:
            client.send(_beginning_of_a_handshake(world))
        elif point > 3:
            await client.secure(world.trust, OPENAI)
        asked = request(OPENAI, "/v1/chat/completions", chat(f"never {world.numbers.next()}"), "never")
        if point == 5:
            client.send(asked[:60])
        elif point == 6:
            client.send(asked[:-10])
        if world.random.random() < 0.5:
            await asyncio.sleep(0.005)  # so that it is the proxy's turn as often as not
        client.leave(reset=world.random.random() < 0.5)


def _beginning_of_a_handshake(world: World) -> bytes:
    outgoing = ssl.MemoryBIO()
    hello = world.trust.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=OPENAI)
    with contextlib.suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    sent = outgoing.read()
    return sent[: world.random.randrange(1, len(sent))]


async def leave_before_the_answer(world: World) -> None:
    """The request is out; the client does not wait for what comes."""
    async with await world.open() as client:
        latency = world.random.choice((0.0, 0.01, 0.1))
        body = chat(f"left {world.numbers.next()}", stream=world.random.random() < 0.5)
        world.ask(client, "left", body, more=[("x-sim-faults", json.dumps({"latency_s": latency}))])
        world.tally.doubtful["left"] += 1
        if world.random.random() < 0.5:
            await asyncio.sleep(0.01)
        client.leave(reset=world.random.random() < 0.5)


async def leave_a_stream(world: World) -> None:
    """In the middle of a stream, alone or with others who read on."""
    others = world.random.randrange(3)
    body = chat(f"stream left {world.numbers.next()}", stream=True)
    fault = [("x-sim-faults", '{"latency_s": 0.03}')] if others else []
    clients: list[Client] = []
    try:
        for _ in range(1 + others):
            clients.append(await world.open())  # noqa: PERF401 - those that are open must be left
        for client in clients:
            world.ask(client, "stream left", body, more=fault)
        leaver = clients[0]
        head = await leaver.head()
        if head.status == 504:
            world.tally.doubtful["stream left"] += others  # who leave with this one, unanswered
        check_status(head)
        pieces = leaver.pieces(head)
        for _ in range(world.random.randrange(1, 4)):
            await anext(pieces, b"")
        await pieces.aclose()  # type: ignore[attr-defined] # it is an async generator
        leaver.leave(reset=world.random.random() < 0.5)
        for client in clients[1:]:
            head = await client.head()
            check_status(head)
            if not (await client.body(head)).endswith(b"data: [DONE]\n\n"):
                raise WrongAnswer("a client that left took another one's stream with it")
    finally:
        for client in clients:
            client.leave()


async def origin_fails(world: World) -> None:
    """Resets, refusals, garbage, truncation, GOAWAY, error statuses."""
    fault = world.random.choice(_FAULTS)
    if await _is_answered(world, "fault", fault):
        raise WrongAnswer(f"{fault} looked like an answer")


async def origin_says_goodbye(world: World) -> None:
    """Ends of connections that are no failures of this call; calls beside it may be broken off by them."""
    await _is_answered(world, "goodbye", world.random.choice(_HARMLESS))


async def origin_stalls(world: World) -> None:
    """Silence before or within an answer, until the deadline."""
    fault = world.random.choice(_STALLS)
    if await _is_answered(world, "stall", fault):
        raise WrongAnswer(f"{fault}, and there was an answer")


async def _is_answered(world: World, kind: str, fault: dict[str, object]) -> bool:
    """True for a whole answer, False for an error's status or a message that is cut off. Raises WrongAnswer when half
    an answer looks whole."""
    is_late = any(fault.get(name) for name in ("cut_after", "stall_after"))  # an answer in one piece would be over
    streamed = is_late or world.random.random() < 0.5
    async with await world.open(_FAILING) as client:
        body = chat(f"{kind} {world.numbers.next()}", stream=streamed)
        world.ask(client, kind, body, host=_FAILING, path=_PATH, more=[("x-sim-faults", json.dumps(fault))])
        try:
            head = await client.head()
            received = await client.body(head)
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
    if head.status != 200:
        return False
    if not (received.endswith(b"[DONE]\n\n") if streamed else received.endswith(b"}")):
        raise WrongAnswer(f"{fault}: half an answer looked whole: {received[-100:]!r}")
    return True


async def unknown_authority(world: World) -> None:
    """A client that rejects our certificate; its host is learned, and tunnelled from then on."""
    async with await Client.connect(world.port) as client:
        await client.tunnel("api.x.ai:443")
        try:
            await client.secure(ssl.create_default_context(), "api.x.ai")
        except (ssl.SSLError, OSError):
            return
        raise WrongAnswer("a client that trusts nobody of ours went on")


async def nonsense(world: World) -> None:
    """Bytes that are no HTTP, plain and within TLS."""
    if world.random.random() < 0.5:
        client = await Client.connect(world.port)
    else:
        client = await world.open()
    async with client:
        client.send(b"\x00\x01 this is not HTTP \xff\r\n\r\n" * 3)
        answer = await client.reader.read(-1)
        if answer and b" 400 " not in answer.split(b"\r\n", 1)[0]:
            raise WrongAnswer(f"nonsense was answered by {answer[:60]!r}")


TROUBLE: Final[tuple[tuple[Act, int], ...]] = (
    (leave_before_the_request, 8), (leave_before_the_answer, 6), (leave_a_stream, 6), (origin_fails, 8),
    (origin_says_goodbye, 3), (origin_stalls, 1), (unknown_authority, 1), (nonsense, 2),
)  # fmt: skip
