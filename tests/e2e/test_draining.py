"""Stopping behind a balancer: no call is lost that has begun, that is on its way, or that comes before it is known."""

import asyncio
import signal
import ssl
import time
from dataclasses import replace

import pytest

from tests.conftest import MakeProxy
from tests.e2e.calls import CHAT, begin, chat, read_to_end
from tests.support.background import Providers
from tests.support.h2_client import H2Client
from tests.support.raw_client import connect, post, request, secure, tunnel
from tests.support.running import RunningProxy, accepts, stopped_within
from tests.support.waiting import until

PATIENT = {"timeout_s": 15, "idle_s": 10}
NO_STREAM = 2**31 - 1


@pytest.fixture
def make_proxy(make_process: MakeProxy) -> MakeProxy:
    """Here proxies are processes from scratch."""
    return make_process


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def workers(request: pytest.FixtureRequest) -> int:
    """Processes behind the listeners."""
    count: int = request.param
    return count


def end(proxy: RunningProxy) -> None:
    proxy.process.popen.send_signal(signal.SIGTERM)


async def ended(proxy: RunningProxy, within_s: float) -> float:
    took_s = await asyncio.to_thread(stopped_within, proxy.process, within_s)
    assert proxy.process.popen.returncode == 0, proxy.process.output
    return took_s


async def is_draining(proxy: RunningProxy) -> None:
    await until(lambda: not accepts(proxy.port()), "nothing new is accepted")


def http2(proxy: RunningProxy) -> ssl.SSLContext:
    trust = proxy.trust()
    trust.set_alpn_protocols(["h2"])
    return trust


async def test_clients_still_come_while_balancers_have_not_heard(
    make_proxy: MakeProxy, provider: Providers, prompt: str, workers: int
) -> None:
    proxy = make_proxy(provider, {"workers": workers, "drain": {"linger_s": 1.5, **PATIENT}})
    began = time.monotonic()
    end(proxy)
    await until(lambda: proxy.admin("/readyz")[0] == 503, "it says that it is not ready")
    async with await secure(proxy.port(), proxy.trust()) as client:
        for number in range(3):
            client.send(post(chat(f"{prompt} {number}")))
            answer = await client.answer()
            assert (answer.status, answer.header("connection")) == (200, "")
        await is_draining(proxy)
        assert time.monotonic() - began > 1.4
        client.send(post(chat(prompt)))
        answer = await client.answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert await client.read_all() == b""
    assert await ended(proxy, 5) < 2


async def test_a_call_that_is_on_its_way_is_answered(
    make_proxy: MakeProxy, provider: Providers, prompt: str, workers: int
) -> None:
    """Whatever its connection has come to: a tunnel, TLS, an answer before it, half a request."""
    proxy = make_proxy(provider, {"workers": workers, "drain": PATIENT})
    opened, asked_for = await connect(proxy.port()), await tunnel(proxy.port(), "api.openai.com:443")
    fresh, used, half = [await secure(proxy.port(), proxy.trust()) for _ in range(3)]
    used.send(request("GET", "/v1/models"))
    assert (await used.answer()).status == 200
    message = post(chat(prompt))
    half.send(message[:40])
    await half.flush()
    end(proxy)
    await is_draining(proxy)
    opened.send(b"CONNECT api.openai.com:443 HTTP/1.1\r\nhost: x\r\n\r\n")
    assert b"200" in await opened.read_until(b"\r\n\r\n")
    for client in (opened, asked_for):
        await client.start_tls(proxy.trust(), "api.openai.com")
    half.send(message[40:])
    for number, client in enumerate((opened, asked_for, fresh, used, half)):
        if client is not half:
            client.send(post(chat(f"{prompt} {number}")))
        answer = await client.answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
        await client.close()
    assert await ended(proxy, 5) < 2


async def test_a_stream_that_did_not_say_close_is_followed_by_one_more_call(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=40, interval_s=0.02)
    proxy = make_proxy(provider, {"drain": PATIENT})
    client = await begin(proxy, chat(prompt, stream=True))
    end(proxy)
    await is_draining(proxy)
    assert b"[DONE]" in await read_to_end(client)
    client.send(request("GET", "/v1/models"))
    answer = await client.answer()
    assert (answer.status, answer.header("connection")) == (200, "close")
    await client.close()
    assert await ended(proxy, 5) < 2


async def test_http2_is_told_in_two_steps_when_it_is_quiet(
    make_proxy: MakeProxy, provider: Providers, prompt: str, workers: int
) -> None:
    provider.options = replace(provider.options, events=40, interval_s=0.03)
    proxy = make_proxy(provider, {"workers": workers, "drain": PATIENT})
    async with H2Client(await secure(proxy.port(), http2(proxy))) as client:
        stream = await client.post(CHAT, chat(prompt, stream=True))
        await client.wait(lambda: bool(stream.body))
        end(proxy)
        await is_draining(proxy)
        assert client.goaways == []
        late = await client.post(CHAT, chat(f"{prompt}, late", stream=True))
        for each in (stream, late):
            await client.finish(each)
        await client.wait(lambda: client.is_over)
    assert stream.body.endswith(b"data: [DONE]\n\n")
    assert late.body.endswith(b"data: [DONE]\n\n")
    assert client.goaways == [NO_STREAM, late.id]
    assert await ended(proxy, 5) < 2


async def test_a_second_signal_ends_at_once(
    make_proxy: MakeProxy, provider: Providers, prompt: str, workers: int
) -> None:
    provider.options = replace(provider.options, events=5000, interval_s=0.05)
    proxy = make_proxy(provider, {"workers": workers, "drain": {"linger_s": 0, "timeout_s": 60}})
    client = await begin(proxy, chat(prompt, stream=True))
    end(proxy)
    end(proxy)  # an echo
    await is_draining(proxy)
    await client.read()
    await asyncio.sleep(1.1)  # the second is told from an echo by its time
    assert proxy.process.is_running()
    end(proxy)
    assert await ended(proxy, 10) < 3
    client.abort()
    assert len(proxy.events("exchanges_cut_off")) == 1
    (row,) = proxy.rows()
    assert (row["status"], row["estimated"]) == (200, 1)


async def test_with_nothing_open_it_ends_within_a_second(
    make_proxy: MakeProxy, provider: Providers, prompt: str, workers: int
) -> None:
    """So a job whose application has ended is not held up."""
    proxy = make_proxy(provider, {"workers": workers, "drain": {"timeout_s": 25, "idle_s": 20}})
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(post(chat(prompt)))
        assert (await client.answer()).status == 200
    await until(lambda: proxy.stats()["client_connections"] == 0, "the client's end is seen")
    end(proxy)
    assert await ended(proxy, 10) < 1
    assert len(proxy.rows()) == 1


async def test_what_is_relayed_goes_on_up_to_the_limit(
    make_proxy: MakeProxy, provider: Providers, workers: int
) -> None:
    proxy = make_proxy(provider, {"workers": workers, "drain": {"timeout_s": 2.0, "idle_s": 0.2}})

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as elsewhere:
        port = elsewhere.sockets[0].getsockname()[1]
        async with await tunnel(proxy.port(), f"127.0.0.1:{port}") as client:
            end(proxy)
            began = time.monotonic()
            await is_draining(proxy)
            said = 0
            while time.monotonic() - began < 1.5:
                client.send(b"still here")
                assert await client.read_exactly(10) == b"still here"
                said += 1
                await asyncio.sleep(0.05)
            assert said > 10
            assert await client.read_all() == b""
    assert await ended(proxy, 10) < 4
