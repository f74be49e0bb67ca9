"""Identical calls in flight become one upstream call, and nobody's fate becomes another's."""

import asyncio
import time
from dataclasses import replace

from proxy.demo.asks import Answer as Reply
from tests.conftest import MakeProvider, MakeProxy
from tests.e2e.calls import CHAT, ask, begin, chat, events_of, original, read_to_end, reply, said
from tests.support.background import Providers
from tests.support.raw_client import Answer, post, secure
from tests.support.running import RunningProxy
from tests.support.waiting import until


async def test_fifty_identical_calls_go_upstream_once(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    provider.options = replace(provider.options, latency_s=0.5)
    answers = await asyncio.gather(*(ask(proxy, chat(prompt)) for _ in range(50)))
    assert provider.count(path=CHAT) == 1
    # Who asked when the flight had landed got a hit, and a hit gives nobody's cookie.
    shown = [
        (status, body, [pair for pair in fields if pair[0] != "set-cookie"])
        for status, body, fields in map(original, answers)
    ]
    assert len(set(map(str, shown))) == 1
    outcomes = sorted(said(answer) for answer in answers)
    assert outcomes.count("miss") == 1
    assert set(outcomes) <= {"miss", "collapsed", "hit"}


async def test_twenty_identical_streams_go_upstream_once(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    provider.options = replace(provider.options, events=30, interval_s=0.01, latency_s=0.3)
    answers = await asyncio.gather(*(ask(proxy, chat(prompt, stream=True)) for _ in range(20)))
    assert provider.count(path=CHAT) == 1
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].body.endswith(b"data: [DONE]\n\n")
    assert len(answers[0].events()) == 30 + 3


async def test_a_late_joiner_gets_the_beginning_at_once_and_then_live_events(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=40, interval_s=0.05)
    body = chat(prompt, stream=True)
    leader = await begin(proxy, body)
    first = b""
    while first.count(b"\n\n") < 10:
        first += await leader.read()
    late = await begin(proxy, body)
    started = time.monotonic()
    prefix = b""
    while prefix.count(b"\n\n") < 10:
        prefix += await late.read()
    took = time.monotonic() - started
    rest_of_first, rest_of_late = await asyncio.gather(read_to_end(leader), read_to_end(late))
    leader.abort()
    late.abort()
    assert took < 0.25  # live, ten events take half a second
    assert time.monotonic() - started > 0.5  # the rest was live
    assert events_of(prefix + rest_of_late) == events_of(first + rest_of_first)
    assert provider.count(path=CHAT) == 1


async def test_a_slow_reader_delays_nobody(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    pieces = [b"data: " + bytes([65 + number % 26]) * 32_000 + b"\n\n" for number in range(60)]
    kind = [(b"content-type", b"text/event-stream")]
    provider.options = replace(provider.options, interval_s=0.005)
    provider.script(lambda _call: Reply([*pieces, b"data: [DONE]\n\n"], 200, kind, streamed=True))
    body = chat(prompt, stream=True)
    slow = await begin(proxy, body)  # reads nothing more until the others are done
    started = time.monotonic()
    fast = await asyncio.gather(*(ask(proxy, body) for _ in range(3)))
    took = time.monotonic() - started
    assert {answer.body for answer in fast} == {b"".join(pieces) + b"data: [DONE]\n\n"}
    assert took < 5
    assert len(events_of(await read_to_end(slow))) == 61
    slow.abort()
    assert provider.count(path=CHAT) == 1


async def test_the_leaders_disconnect_harms_nobody(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    provider.options = replace(provider.options, events=30, interval_s=0.02)
    body = chat(prompt, stream=True)
    leader = await begin(proxy, body)
    follower = await begin(proxy, body)
    leader.abort()
    rest = await read_to_end(follower)
    follower.abort()
    assert b"[DONE]" in rest
    assert provider.count(path=CHAT) == 1
    assert provider.traffic.abandoned == 0


async def test_the_leaders_row_carries_the_cost_although_it_left(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=30, interval_s=0.02)
    own = make_proxy(provider)
    body = chat(prompt, stream=True)
    leader = await begin(own, body)
    follower = await begin(own, body)
    leader.abort()
    await read_to_end(follower)
    follower.abort()
    rows = own.settled(2)
    (led,) = [row for row in rows if row["error"] == "client_disconnected"]
    (followed,) = [row for row in rows if row["outcome"] == "collapsed"]
    assert led["cost_nanousd"] == followed["saved_nanousd"]
    assert isinstance(led["cost_nanousd"], int)
    assert led["cost_nanousd"] > 0
    assert followed["cost_nanousd"] == 0


async def test_when_all_leave_the_upstream_call_is_cancelled(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=500, interval_s=0.02)
    own = make_proxy(provider)
    body = chat(prompt, stream=True)
    clients = [await begin(own, body) for _ in range(3)]
    for client in clients:
        await client.read()
        client.abort()
    await until(lambda: provider.traffic.abandoned == 1, "the provider saw the reset")
    led = own.settled(3, error="client_disconnected")
    assert [row["estimated"] for row in led] == [1, 1, 1]
    assert provider.count(path=CHAT) == 1


async def test_an_upstream_error_reaches_all_and_is_not_stored(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, latency_s=0.3)
    provider.script(lambda _call: reply(b'{"error":{"message":"broken"}}', 500))
    answers = await asyncio.gather(*(ask(proxy, chat(prompt)) for _ in range(10)))
    assert {(answer.status, answer.body) for answer in answers} == {(500, b'{"error":{"message":"broken"}}')}
    assert provider.count(path=CHAT) == 1
    provider.script(None)
    assert (await ask(proxy, chat(prompt))).status == 200


async def test_a_stream_that_breaks_off_breaks_off_for_all_and_is_not_stored(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, interval_s=0.02, latency_s=0.3)
    faults = ("x-sim-faults", '{"cut_after": 4}')
    body = chat(prompt, stream=True)

    async def attempt() -> str:
        try:
            answer = await ask(proxy, body, faults)
        except EOFError:
            return "cut short"
        return f"complete: {answer.body!r}"

    assert set(await asyncio.gather(*(attempt() for _ in range(8)))) == {"cut short"}
    assert provider.count(path=CHAT) == 1
    assert await attempt() == "cut short"
    assert provider.count(path=CHAT) == 2


async def test_different_credentials_never_share(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    provider.options = replace(provider.options, latency_s=0.3)
    answers = await asyncio.gather(*(ask(proxy, chat(prompt), key=f"sk-{number}") for number in range(5)))
    assert provider.count(path=CHAT) == 5
    assert len({str(answer.json()["id"]) for answer in answers}) == 5


async def test_production_leaves_sampled_calls_alone(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    provider.options = replace(provider.options, latency_s=0.2)
    sampled = chat(prompt, temperature=1)
    together = await asyncio.gather(*(ask(proxy, sampled) for _ in range(4)))
    later = await ask(proxy, sampled)
    assert provider.count(path=CHAT) == 5
    assert {said(answer) for answer in [*together, later]} == {"bypass"}


async def test_development_shares_sampled_calls(make_proxy: MakeProxy, provider: Providers, prompt: str) -> None:
    provider.options = replace(provider.options, latency_s=0.3)
    own = make_proxy(provider, {"profile": "development"})
    sampled = chat(prompt, temperature=1)
    await asyncio.gather(*(ask(own, sampled) for _ in range(4)))
    later = await ask(own, sampled)
    assert provider.count(path=CHAT) == 1
    assert said(later) == "hit"


async def test_calls_that_are_no_answers_never_share(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    provider.options = replace(provider.options, latency_s=0.2)

    async def upload() -> Answer:
        async with await secure(proxy.port(), proxy.trust()) as client:
            client.send(post(prompt.encode(), "/v1/files"))
            return await client.answer()

    await asyncio.gather(*(upload() for _ in range(4)))
    assert provider.count(path="/v1/files") == 4


async def test_collapsing_can_be_turned_off(make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str) -> None:
    provider = make_provider()
    provider.options = replace(provider.options, latency_s=0.2)
    own = make_proxy(provider, {"collapse": {"enabled": False}})
    await asyncio.gather(*(ask(own, chat(prompt)) for _ in range(4)))
    assert provider.count(path=CHAT) == 4
