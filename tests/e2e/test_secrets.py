"""Prompts, answers and credentials stay where they belong: in memory, and on the way to the provider."""

import base64
from pathlib import Path

import orjson
import pytest

from proxy.demo.asks import Answer as Reply
from proxy.demo.asks import Call
from proxy.demo.faults import Faults
from tests.conftest import MakeProxy
from tests.e2e.calls import CHAT, ask, chat, reply
from tests.support.background import Providers
from tests.support.raw_client import connect, request, secure
from tests.support.running import RunningProxy

PROMPT = "canary-prompt-8d1f"
ANSWER = "canary-answer-77ac"
KEY = "sk-canary-key-51be"
COOKIE = "canary-cookie-0c9e"
QUERY = "canary-query-2fd3"
CANARIES = (PROMPT, ANSWER, KEY, COOKIE, QUERY)


def coded(canary: str) -> list[bytes]:
    """A secret in the forms in which it could slip out."""
    raw = canary.encode()
    return [raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"="), canary.upper().encode()]


def answering(call: Call) -> Reply | None:
    """Answers and errors that quote what was asked."""
    if call.path != CHAT:
        return None
    body = orjson.loads(call.body)
    if body.get("model") == "error":
        return reply(orjson.dumps({"error": {"message": f"cannot read {PROMPT} {ANSWER}"}}), 400)
    if body.get("stream"):
        pieces = [b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % ANSWER.encode(), b"data: [DONE]\n\n"]
        return Reply(pieces, 200, [(b"content-type", b"text/event-stream")], streamed=True)
    return reply(orjson.dumps({"choices": [{"message": {"content": ANSWER}}], "usage": {"prompt_tokens": 3}}))


async def use(proxy: RunningProxy, provider: Providers) -> None:
    """Calls of all kinds, good and bad, each with secrets in it."""
    provider.script(answering)
    cookie = ("cookie", f"session={COOKIE}")
    for body in (
        chat(PROMPT),
        chat(PROMPT),
        chat(PROMPT, stream=True),
        chat(PROMPT, model="error"),
        b"{ " + PROMPT.encode(),
    ):
        await ask(proxy, body, cookie, key=KEY)
    await ask(proxy, chat(PROMPT), ("cache-control", "only-if-cached"), key=f"{KEY}-other")
    path = f"/v1beta/models/gemini-2.5-flash:generateContent?key={QUERY}"
    google = orjson.dumps({"contents": [{"parts": [{"text": PROMPT}]}]})
    await ask(proxy, google, path=path, host="generativelanguage.googleapis.com", key="")
    provider.script(None)
    for fault in (Faults(failure="reset"), Faults(failure="garbage"), Faults(status=500)):
        provider.faults[:] = [fault]
        await ask(proxy, chat(f"{PROMPT} {fault}"), key=KEY)
    provider.faults.clear()
    with pytest.raises(EOFError):
        await ask(proxy, chat(PROMPT, stream=True), ("x-sim-faults", '{"cut_after": 2}'), key=KEY)
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(request("GET", f"/v1/{PROMPT}", None, [("bad header", QUERY)], key=KEY))
        assert (await client.answer()).status == 400
    async with await connect(proxy.port()) as client:
        client.send(f"CONNECT {PROMPT}:443 HTTP/1.1\r\nproxy-authorization: Basic {KEY}\r\n : {QUERY}\r\n\r\n".encode())
        await client.read_all()
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\nauthorization: " + KEY.encode())
        await client.leave()


def leaks(where: str, content: bytes) -> list[str]:
    """Which secrets stand there."""
    lowered = content.lower()
    return [f"{canary} in {where}" for canary in CANARIES for form in coded(canary) if form.lower() in lowered]


@pytest.mark.parametrize("level", ["debug", "info"])
async def test_no_secret_is_written_anywhere(make_proxy: MakeProxy, provider: Providers, level: str) -> None:
    proxy = make_proxy(provider, {"log": {"level": level}})
    await use(proxy, provider)
    proxy.settled(11)
    found = leaks("/metrics", proxy.admin("/metrics")[1].encode())
    found += leaks("/v1/stats", proxy.admin("/v1/stats")[1].encode())
    found += leaks("/readyz", proxy.admin("/readyz")[1].encode())
    for file in files(proxy.data_dir):
        found += leaks(file.name, file.read_bytes())
    assert proxy.stop() == 0
    for file in [*files(proxy.data_dir), proxy.process.log]:
        found += leaks(file.name, file.read_bytes())
    assert found == []


def files(directory: Path) -> list[Path]:
    """All files below it."""
    return [each for each in directory.rglob("*") if each.is_file()]


async def test_what_must_be_private_is_private(make_proxy: MakeProxy, provider: Providers) -> None:
    proxy = make_proxy(provider)
    await ask(proxy, chat(PROMPT))
    proxy.settled(1)
    private = [each for each in files(proxy.data_dir) if each.name.endswith((".key", ".sqlite")) or "key" in each.name]
    assert len(private) >= 3
    assert {each.name: oct(each.stat().st_mode & 0o777) for each in private} == {each.name: "0o600" for each in private}


async def test_errors_do_not_quote_what_was_sent(make_proxy: MakeProxy, provider: Providers) -> None:
    proxy = make_proxy(provider)
    provider.faults.append(Faults(failure="reset"))
    answer = await ask(proxy, chat(PROMPT), key=KEY)
    assert answer.status == 502
    assert leaks("the answer", answer.body) == []
