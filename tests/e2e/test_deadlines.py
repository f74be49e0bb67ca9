"""Origins that stall, refuse or cannot be trusted: answered soon, in the provider's own shape."""

import socket
import time
from dataclasses import replace

import pytest

from proxy.demo.faults import Faults
from tests.conftest import MakeProvider, MakeProxy
from tests.e2e.calls import ask, chat
from tests.support.background import Providers
from tests.support.waiting import until

DEADLINES = [
    ("first_byte_timeout_s", Faults(latency_s=30), False, "http_response_timeout"),
    ("first_byte_timeout_s", Faults(latency_s=30), True, "http_response_timeout"),
    ("first_byte_timeout_s", Faults(stall_after=0), False, "http_response_timeout"),
    ("total_timeout_s", Faults(latency_s=30), True, "http_response_timeout"),
    ("total_timeout_s", Faults(latency_s=30), False, "http_response_timeout"),
]


@pytest.mark.parametrize(("setting", "fault", "stream", "code"), DEADLINES)
async def test_a_stall_before_the_first_byte_is_answered_by_504(
    make_proxy: MakeProxy, provider: Providers, prompt: str, setting: str, fault: Faults, stream: bool, code: str
) -> None:
    proxy = make_proxy(provider, {"upstream": {setting: 0.5}})
    provider.faults.append(fault)
    started = time.monotonic()
    answer = await ask(proxy, chat(prompt, stream=stream))
    assert (answer.status, answer.header("proxy-status")) == (504, f"skinflint; error={code}")
    assert answer.json()["error"]["code"] == code  # type: ignore[index]
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("setting", ["idle_timeout_s", "total_timeout_s"])
async def test_a_stall_within_a_stream_breaks_it_off(
    make_proxy: MakeProxy, provider: Providers, prompt: str, setting: str
) -> None:
    proxy = make_proxy(provider, {"upstream": {setting: 0.5}})
    provider.faults.append(Faults(stall_after=3))
    started = time.monotonic()
    with pytest.raises(EOFError):
        await ask(proxy, chat(prompt, stream=True))
    assert time.monotonic() - started < 4
    await until(lambda: provider.traffic.abandoned == 1, "the provider saw the reset")
    (row,) = proxy.settled(1)
    assert row["error"] in ("connection_read_timeout", "http_response_timeout")


async def test_a_slow_stream_outlives_the_idle_deadline(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_proxy(provider, {"upstream": {"idle_timeout_s": 1.0, "first_byte_timeout_s": 0.9}})
    provider.options = replace(provider.options, events=8, interval_s=0.25)
    answer = await ask(proxy, chat(prompt, stream=True))
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_a_refused_connection_is_answered_by_502_in_the_providers_shape(
    make_proxy: MakeProxy, prompt: str
) -> None:
    resolve = {"api.openai.com": "127.0.0.1:1", "api.anthropic.com": "127.0.0.1:1"}
    proxy = make_proxy(None, {"upstream": {"resolve": resolve}})
    openai = await ask(proxy, chat(prompt))
    anthropic = await ask(proxy, chat(prompt), path="/v1/messages", host="api.anthropic.com")
    assert (openai.status, anthropic.status) == (502, 502)
    assert openai.json()["error"]["code"] == "connection_refused"  # type: ignore[index]
    assert anthropic.json()["type"] == "error"


async def test_an_origin_that_does_not_answer_the_handshake_is_given_up(make_proxy: MakeProxy, prompt: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        proxy = make_proxy(None, {"upstream": {"resolve": {"api.openai.com": address}, "connect_timeout_s": 0.5}})
        started = time.monotonic()
        answer = await ask(proxy, chat(prompt))
    assert (answer.status, answer.header("proxy-status")) == (504, "skinflint; error=connection_timeout")
    assert time.monotonic() - started < 3


async def test_an_untrusted_certificate_is_a_clear_502_and_nothing_is_sent(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    provider = make_provider()
    proxy = make_proxy(None, {"upstream": {"resolve": {"api.openai.com": provider.address}}})
    for stream in (False, True):
        answer = await ask(proxy, chat(prompt, stream=stream))
        assert (answer.status, answer.header("proxy-status")) == (502, "skinflint; error=tls_certificate_error")
        assert b"certificate could not be verified" in answer.body
    assert provider.count() == 0
