"""What is stored is replayed byte for byte, to whom it belongs, as long as it is fresh; nothing else is ever stored."""

import gzip
from collections.abc import Callable
from dataclasses import replace

import brotli  # type: ignore[import-untyped]
import orjson
import pytest
import zstandard

from proxy.demo.asks import Answer as Reply
from tests.conftest import MakeProxy
from tests.e2e.calls import CHAT, EMBEDDINGS, ask, chat, get, original, reply, said
from tests.support.background import Providers
from tests.support.processes import environment, module, running
from tests.support.raw_client import Answer
from tests.support.running import RunningProxy
from tests.support.waiting import until

DECODE: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}


def plain(answer: Answer) -> bytes:
    """The body without its content coding."""
    return DECODE[answer.header("content-encoding")](answer.body)


async def test_a_json_answer_is_replayed_byte_for_byte(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    first, second = await ask(proxy, chat(prompt)), await ask(proxy, chat(prompt))
    assert (said(first), said(second)) == ("miss", "hit")
    assert provider.count(path=CHAT) == 1
    assert second.body == first.body
    fields = [pair for pair in original(first)[2] if pair[0] != "set-cookie"]
    assert original(second)[2] == fields


async def test_a_stream_is_replayed_byte_for_byte(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    body = chat(prompt, stream=True)
    first, second = await ask(proxy, body), await ask(proxy, body)
    assert (said(first), said(second)) == ("miss", "hit")
    assert second.body == first.body
    assert second.header("content-type") == first.header("content-type") == "text/event-stream; charset=utf-8"


async def test_binary_audio_is_replayed_byte_for_byte(make_proxy: MakeProxy, provider: Providers, prompt: str) -> None:
    proxy = make_proxy(provider, {"profile": "development"})  # speech varies from call to call
    body = orjson.dumps({"model": "tts-1", "input": prompt, "voice": "alloy"})
    path = "/v1/audio/speech"
    first, second = await ask(proxy, body, path=path), await ask(proxy, body, path=path)
    assert second.body == first.body
    assert len(first.body) == 8 * 1024
    assert second.header("content-type") == "audio/mpeg"
    assert (said(second), provider.count(path=path)) == ("hit", 1)


async def test_a_gzipped_stream_is_replayed_byte_for_byte(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    packed = gzip.compress(b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
    fields = [(b"content-type", b"text/event-stream"), (b"content-encoding", b"gzip")]
    provider.script(lambda _call: Reply([packed[:20], packed[20:]], 200, fields, streamed=True))
    asked_usage = {"stream_options": {"include_usage": True}}  # else it is asked for uncoded
    body = chat(prompt, stream=True, **asked_usage)
    first = await ask(proxy, body, ("accept-encoding", "gzip"))
    second = await ask(proxy, body, ("accept-encoding", "gzip"))
    assert first.body == second.body == packed
    assert (said(second), second.header("content-encoding")) == ("hit", "gzip")


@pytest.mark.parametrize("accepted", ["", "identity", "gzip", "br", "zstd", "gzip, deflate, br, zstd"])
async def test_each_client_gets_a_coding_that_it_reads(
    proxy: RunningProxy, provider: Providers, prompt: str, accepted: str
) -> None:
    body = orjson.dumps({"model": "text-embedding-3-small", "input": prompt, "dimensions": 256})
    fields = [("accept-encoding", accepted)] if accepted else []
    first = await ask(proxy, body, *fields, path=EMBEDDINGS)
    second = await ask(proxy, body, *fields, path=EMBEDDINGS)
    allowed = {"", *(each.strip() for each in accepted.split(","))}
    for answer in (first, second):
        assert answer.header("content-encoding") in allowed
        rows = orjson.loads(plain(answer))["data"]
        assert len(rows[0]["embedding"]) == 256
    assert plain(first) == plain(second)
    assert said(second) == "hit"


async def test_one_stored_answer_serves_clients_with_other_codings(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    body = orjson.dumps({"model": "text-embedding-3-small", "input": prompt, "dimensions": 256})
    bodies = set()
    for accepted in ("gzip", "br", "zstd", "identity"):
        bodies.add(plain(await ask(proxy, body, ("accept-encoding", accepted), path=EMBEDDINGS)))
    assert len(bodies) == 1
    assert provider.count(path=EMBEDDINGS) == 1


async def test_no_store_is_neither_answered_from_nor_kept(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    await ask(proxy, chat(prompt), ("cache-control", "no-store"))
    after = await ask(proxy, chat(prompt))
    again = await ask(proxy, chat(prompt), ("cache-control", "no-store"))
    assert (said(after), said(again)) == ("miss", "bypass")
    assert provider.count(path=CHAT) == 3


async def test_no_cache_asks_anew_and_is_kept(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    first = await ask(proxy, chat(prompt))
    anew = await ask(proxy, chat(prompt), ("cache-control", "no-cache"))
    third = await ask(proxy, chat(prompt))
    assert first.json()["id"] != anew.json()["id"]
    assert third.body == anew.body


async def test_only_if_cached_never_goes_upstream(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    refused = await ask(proxy, chat(prompt), ("cache-control", "only-if-cached"))
    assert refused.status == 504
    assert provider.count() == 0
    await ask(proxy, chat(prompt))
    assert (await ask(proxy, chat(prompt), ("cache-control", "only-if-cached"))).status == 200


async def test_max_age_decides_what_is_too_old(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    await ask(proxy, chat(prompt))
    assert said(await ask(proxy, chat(prompt), ("cache-control", "max-age=3000"))) == "hit"
    assert said(await ask(proxy, chat(prompt), ("cache-control", "min-fresh=4000"))) == "miss"


async def test_age_grows(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    await ask(proxy, chat(prompt))
    first = await ask(proxy, chat(prompt))
    assert first.header("age") == "0"
    answers: list[Answer] = []
    while not answers or answers[-1].header("age") == "0":
        assert len(answers) < 2000
        answers.append(await ask(proxy, chat(prompt)))
    assert answers[-1].header("age") == "1"
    assert "hit; ttl=3598" in answers[-1].header("cache-status")
    too_old = await ask(proxy, chat(prompt), ("cache-control", "max-age=0"))
    assert said(too_old) == "miss"


async def test_an_answer_past_its_time_is_asked_anew(make_proxy: MakeProxy, provider: Providers, prompt: str) -> None:
    own = make_proxy(provider, {"cache": {"ttl_s": 0.3}})
    await ask(own, chat(prompt))
    answers = [await ask(own, chat(prompt))]
    while said(answers[-1]) == "hit":
        assert len(answers) < 2000
        answers.append(await ask(own, chat(prompt)))
    assert said(answers[-1]) == "miss"
    assert provider.count(path=CHAT) == 2


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_errors_are_not_stored(proxy: RunningProxy, provider: Providers, prompt: str, status: int) -> None:
    for _ in range(2):
        answer = await ask(proxy, chat(prompt), ("x-sim-faults", f'{{"status": {status}}}'))
        assert answer.status == status
    assert provider.count(path=CHAT) == 2


@pytest.mark.parametrize(
    "body",
    [
        b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n',
        b'data: {"error":{"message":"overloaded"}}\n\n',
        b"",
    ],
)
async def test_a_stream_without_its_end_marker_is_not_stored(
    proxy: RunningProxy, provider: Providers, prompt: str, body: bytes
) -> None:
    provider.script(lambda _call: reply(body, 200, b"text/event-stream"))
    for _ in range(2):
        answer = await ask(proxy, chat(prompt, stream=True))
        assert answer.body == body
    assert provider.count(path=CHAT) == 2


@pytest.mark.parametrize("body", [b'{"choices": [', b'{"error": {"message": "x"}}', b"<html>gateway</html>", b""])
async def test_a_success_that_is_none_is_not_stored(
    proxy: RunningProxy, provider: Providers, prompt: str, body: bytes
) -> None:
    provider.script(lambda _call: reply(body))
    for _ in range(2):
        answer = await ask(proxy, chat(prompt))
        assert (answer.status, answer.body) == (200, body)
    assert provider.count(path=CHAT) == 2


async def test_a_body_shorter_than_declared_is_not_stored(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    for _ in range(2):
        answer = await ask(proxy, chat(prompt), ("x-sim-faults", '{"length_error": 10, "times": 1}'))
        assert answer.status == 502
    assert (await ask(proxy, chat(prompt))).status == 200


async def test_credentials_do_not_share_answers(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    first = await ask(proxy, chat(prompt), key="sk-one")
    second = await ask(proxy, chat(prompt), key="sk-two")
    assert said(second) == "miss"
    assert first.json()["id"] != second.json()["id"]
    assert (await ask(proxy, chat(prompt), key="sk-one")).body == first.body


async def test_fields_that_change_the_answer_keep_answers_apart(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    await ask(proxy, chat(prompt))
    other = await ask(proxy, chat(prompt), ("openai-organization", "org-other"))
    same = await ask(proxy, chat(prompt), ("x-request-id", "other"), ("user-agent", "other"))
    assert (said(other), said(same)) == ("miss", "hit")


async def test_the_order_of_members_does_not_matter(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    value = orjson.loads(chat(prompt))
    await ask(proxy, orjson.dumps(value))
    turned = dict(reversed(value.items()))
    assert said(await ask(proxy, orjson.dumps(turned, option=orjson.OPT_INDENT_2))) == "hit"


async def test_lists_of_models_are_kept(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    await get(proxy, "/v1/models", key=prompt)
    assert said(await get(proxy, "/v1/models", key=prompt)) == "hit"


async def test_cookies_are_not_replayed(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    first, second = await ask(proxy, chat(prompt)), await ask(proxy, chat(prompt))
    assert first.header("set-cookie").startswith("__cf_bm=")
    assert second.header("set-cookie") == ""


async def test_the_command_clears_the_running_proxys_cache(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    own = make_proxy(provider)
    await ask(own, chat(prompt))
    await until(lambda: '"entries":1' in own.admin("/v1/stats")[1], "the answer is stored")
    clear = module("proxy", "cache", "clear", "--data-dir", str(own.data_dir))
    with running(clear, own.directory / "clear", environment(own.directory)) as command:
        await until(lambda: not command.is_running(), "the command has ended")
        assert command.popen.returncode == 0, command.output
    assert said(await ask(own, chat(prompt))) == "miss"


async def test_the_cache_keeps_to_its_bound(make_proxy: MakeProxy, provider: Providers, prompt: str) -> None:
    limit = 200_000
    own = make_proxy(provider, {"cache": {"memory": {"max_bytes": limit}, "disk": {"max_bytes": 0}}})
    provider.options = replace(provider.options, events=200)
    for number in range(120):
        await ask(own, chat(f"{prompt} {number}"))
    assert 0 < own.metric("skinflint_cache_bytes") <= limit
    assert own.metric("skinflint_cache_entries") < 120
    assert said(await ask(own, chat(f"{prompt} 119"))) == "hit"
    assert said(await ask(own, chat(f"{prompt} 0"))) == "miss"


async def test_what_memory_has_no_room_for_is_answered_from_disk(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    own = make_proxy(provider, {"cache": {"memory": {"max_bytes": 200_000}}})
    provider.options = replace(provider.options, events=200)
    for number in range(120):
        await ask(own, chat(f"{prompt} {number}"))
    assert own.metric("skinflint_cache_bytes", tier="memory") <= 200_000
    assert said(await ask(own, chat(f"{prompt} 0"))) == "hit"
    assert provider.count(path=CHAT) == 120


async def test_answers_survive_a_restart_and_so_does_what_was_invalidated(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    own = make_proxy(provider)
    for number in range(3):
        await ask(own, chat(f"{prompt} {number}"), ("x-skinflint-tag", f"tag-{number}"))
    assert own.admin("/v1/cache/invalidate", "POST", b'{"tag": "tag-1"}')[0] == 200
    assert own.stop() == 0
    again = make_proxy(provider, directory=own.directory)
    assert [said(await ask(again, chat(f"{prompt} {number}"))) for number in range(3)] == ["hit", "miss", "hit"]


async def test_without_response_headers_nothing_is_added(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    own = make_proxy(provider, {"cache": {"response_headers": False}})
    await ask(own, chat(prompt))
    answer = await ask(own, chat(prompt))
    assert provider.count(path=CHAT) == 1
    assert not [name for name, _ in answer.headers if name in ("age", "cache-status") or "skinflint" in name]
