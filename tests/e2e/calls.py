"""Ordinary calls, as the end-to-end tests make them: through CONNECT, with TLS, each on a connection of its own."""

from proxy.demo.asks import Answer as Reply
from tests.support.raw_client import Answer, RawClient, chat, post, request, secure
from tests.support.running import RunningProxy

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"


async def ask(
    proxy: RunningProxy,
    body: bytes,
    *headers: tuple[str, str],
    path: str = CHAT,
    key: str = "sk-test",
    host: str = "api.openai.com",
) -> Answer:
    """A POST to its end."""
    async with await secure(proxy.port(), proxy.trust(), host) as client:
        client.send(post(body, path, *headers, key=key, host=host))
        return await client.answer()


async def get(
    proxy: RunningProxy, path: str, *headers: tuple[str, str], method: str = "GET", key: str = "sk-test"
) -> Answer:
    """A request without a body, to its end."""
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(request(method, path, None, headers, key=key))
        return await client.answer(method)


async def begin(proxy: RunningProxy, body: bytes, *headers: tuple[str, str]) -> RawClient:
    """A streamed call whose head has come."""
    client = await secure(proxy.port(), proxy.trust())
    client.send(post(body, CHAT, *headers))
    answer = await client.head()
    assert answer.status == 200
    return client


async def read_to_end(client: RawClient) -> bytes:
    """The rest of a chunked body, framing included."""
    pieces = b""
    while not pieces.endswith(b"0\r\n\r\n"):
        piece = await client.read()
        assert piece, pieces[-200:]
        pieces += piece
    return pieces


def events_of(chunked: bytes) -> list[bytes]:
    """The data lines in a chunked body."""
    return [line for line in chunked.splitlines() if line.startswith(b"data:")]


def original(answer: Answer) -> tuple[int, bytes, list[tuple[str, str]]]:
    """What came from the provider: everything but what Skinflint says about itself, and framing."""
    own = ("cache-status", "x-skinflint-cache", "x-skinflint-cost-usd", "age", "transfer-encoding", "content-length")
    return answer.status, answer.body, [pair for pair in answer.headers if pair[0] not in own]


def said(answer: Answer) -> str:
    """How the call was answered."""
    return answer.header("x-skinflint-cache")


def reply(body: bytes, status: int = 200, kind: bytes = b"application/json", *headers: tuple[bytes, bytes]) -> Reply:
    """A provider's answer in one piece, for scripts."""
    return Reply([body], status, [(b"content-type", kind), *headers])


__all__ = ["CHAT", "EMBEDDINGS", "ask", "begin", "chat", "events_of", "get", "original", "read_to_end", "reply", "said"]
