"""What clients do that behave: hits, misses, bursts of the same call, streams, HTTP/2, tunnels, slow readers.

Rules: an act counts its calls, reads its answers to the end and checks them: an answer must be whole, and the same
question must get the same text as ever. Acts are drawn by weight (`ACTS`), so that a run of any length has all kinds.
"""

import asyncio
import json
import os
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from bench.soak.client import Client, Fields, Head, SlowAnswer, WrongAnswer, request
from bench.soak.tally import Tally

OPENAI: Final = "api.openai.com"
_ANTHROPIC: Final = "api.anthropic.com"
_CHAT: Final = "/v1/chat/completions"
HOT: Final = 60
_BURST: Final = 6
_LARGE_BYTES: Final = 400_000  # past limits.max_request_bytes of the soak: relayed while it comes


@dataclass(slots=True)
class World:
    """What acts need. `numbers` makes prompts unique."""

    port: int
    tunnel_port: int  # of the server behind tunnels, which sends back what it gets
    trust: ssl.SSLContext
    trust_h2: ssl.SSLContext
    tally: Tally
    random: random.Random
    numbers: "Numbers"
    said: dict[str, str] = field(default_factory=dict)  # hot prompt -> the text that it gets

    async def open(self, host: str = OPENAI) -> Client:
        """A connection ready for requests."""
        client = await Client.connect(self.port)
        try:
            await client.tunnel(f"{host}:443")
            await client.secure(self.trust, host)
        except BaseException:
            client.leave()
            raise
        return client

    def ask(
        self, client: Client, kind: str, body: bytes, *, path: str = _CHAT, host: str = OPENAI, more: Fields = ()
    ) -> None:
        """Send a call, and count it."""
        client.send(request(host, path, body, kind, more))
        self.tally.asked[kind] += 1


class Numbers:
    """Numbers that no other call of this run has."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """The next one."""
        self._last += 1
        return self._last


type Act = Callable[[World], Awaitable[None]]


def chat(prompt: str, *, stream: bool = False) -> bytes:
    """A chat call that may be answered again."""
    asked = {"model": "gpt-4o-mini", "temperature": 0, "messages": [{"role": "user", "content": prompt}]}
    return json.dumps({**asked, **({"stream": True} if stream else {})}).encode()


def check_status(head: Head) -> None:
    """Raises WrongAnswer for anything but 200, and SlowAnswer for the one failure that a busy machine may cause."""
    if head.status == 504:
        raise SlowAnswer
    if head.status != 200:
        raise WrongAnswer(f"status {head.status}")


def text_of(head: Head, body: bytes) -> str:
    """What a whole answer says. Raises WrongAnswer or SlowAnswer."""
    if head.status not in (200, 504):
        raise WrongAnswer(f"status {head.status}: {body[:200]!r}")
    check_status(head)
    said: str = json.loads(body)["choices"][0]["message"]["content"]
    return said


async def hit(world: World) -> None:
    """One of a few prompts; most are in the cache, some were just pushed out."""
    async with await world.open() as client:
        for _ in range(3):
            prompt = f"hot {world.random.randrange(HOT)}"
            world.ask(client, "hit", chat(prompt))
            head = await client.head()
            said = text_of(head, await client.body(head))
            if world.said.setdefault(prompt, said) != said:
                raise WrongAnswer(f"another answer to {prompt!r} than before")


async def miss(world: World) -> None:
    """What nobody has asked before, of all sizes."""
    async with await world.open() as client:
        padding = "x" * world.random.choice((0, 100, 2_000, 60_000))
        world.ask(client, "miss", chat(f"miss {world.numbers.next()} {padding}"))
        head = await client.head()
        text_of(head, await client.body(head))


async def embed(world: World) -> None:
    """Embeddings: larger answers, which fill the cache and push others out."""
    async with await world.open() as client:
        body = json.dumps({"model": "text-embedding-3-small", "input": f"embed {world.numbers.next()}"}).encode()
        world.ask(client, "embed", body, path="/v1/embeddings")
        head = await client.head()
        check_status(head)
        if not json.loads(await client.body(head))["data"]:
            raise WrongAnswer("embeddings without a vector")


async def burst(world: World) -> None:
    """The same new call from several clients at once, whole or streamed: one flight."""
    stream = world.random.random() < 0.5
    body = chat(f"burst {world.numbers.next()}", stream=stream)
    clients: list[Client] = []
    try:
        for _ in range(_BURST):
            clients.append(await world.open())  # noqa: PERF401 - those that are open must be left
        for client in clients:
            world.ask(client, "burst", body, more=[("x-sim-faults", '{"latency_s": 0.05}')])
        answers = [(head := await client.head(), await client.body(head)) for client in clients]
    finally:
        for client in clients:
            client.leave()
    for head, _ in answers:
        check_status(head)
    paid = sum(head.fields.get("x-skinflint-cache") == "miss" for head, _ in answers)
    if len({body for _, body in answers}) > paid:  # one who came late may have missed the flight, and the cache too
        raise WrongAnswer(f"{paid} calls were paid for, and there are more different answers than that")


async def stream(world: World) -> None:
    """A stream read to its end; some repeat an earlier one."""
    async with await world.open() as client:
        name = world.random.randrange(HOT) if world.random.random() < 0.5 else world.numbers.next() + HOT
        world.ask(client, "stream", chat(f"stream {name}", stream=True))
        head = await client.head()
        check_status(head)
        body = await client.body(head)
        if not body.endswith(b"data: [DONE]\n\n"):
            raise WrongAnswer(f"a stream without its end: {body[-100:]!r}")


async def messages(world: World) -> None:
    """Another provider's stream."""
    async with await world.open(_ANTHROPIC) as client:
        asked = {"model": "claude-haiku-4-5", "max_tokens": 100, "stream": True, "temperature": 0}
        asked["messages"] = [{"role": "user", "content": f"message {world.numbers.next()}"}]
        world.ask(client, "messages", json.dumps(asked).encode(), path="/v1/messages", host=_ANTHROPIC)
        head = await client.head()
        check_status(head)
        body = await client.body(head)
        if b"message_stop" not in body:
            raise WrongAnswer(f"a stream without its end: {body[-100:]!r}")


async def slow_reader(world: World) -> None:
    """Reads a long stream with pauses."""
    async with await world.open() as client:
        world.ask(client, "slow", chat(f"slow {world.numbers.next()}", stream=True))
        count = 0
        head = await client.head()
        check_status(head)
        async for _ in client.pieces(head):
            count += 1
            if count % 8 == 0:
                await asyncio.sleep(0.02)
        if not count:
            raise WrongAnswer("an empty stream")


async def pipelined(world: World) -> None:
    """Several requests sent at once on one connection; the answers come in order."""
    async with await world.open() as client:
        for _ in range(4):
            world.ask(client, "pipelined", chat(f"hot {world.random.randrange(HOT)}"))
        for _ in range(4):
            head = await client.head()
            text_of(head, await client.body(head))


async def large(world: World) -> None:
    """A body that is too large to be held: it is relayed while it comes."""
    async with await world.open() as client:
        world.ask(client, "large", chat(f"large {world.numbers.next()} " + "x" * _LARGE_BYTES))
        await client.writer.drain()
        head = await client.head()
        text_of(head, await client.body(head))


async def tunnel(world: World) -> None:
    """Bytes of another protocol, there and back; left by a half-close, a FIN or a RST."""
    async with await Client.connect(world.port) as client:
        await client.tunnel(f"127.0.0.1:{world.tunnel_port}")
        payload = os.urandom(world.random.choice((1, 1_000, 100_000, 1_000_000)))
        client.send(payload)
        way = world.random.choice(("half", "fin", "rst"))
        if way == "half":
            client.writer.write_eof()
            received = await client.reader.read(-1)
        else:
            received = await client.reader.readexactly(len(payload) if way == "fin" else len(payload) // 2)
            client.leave(reset=way == "rst")
        if payload[: len(received)] != received or (way == "half" and len(received) != len(payload)):
            raise WrongAnswer("a tunnel changed what went through it")
        world.tally.tunnelled_bytes += len(received)


ACTS: Final[tuple[tuple[Act, int], ...]] = (
    (hit, 24), (miss, 14), (embed, 3), (burst, 4), (stream, 10), (messages, 3), (slow_reader, 2), (pipelined, 3),
    (large, 1), (tunnel, 5),
)  # fmt: skip
