"""Stopping with calls under way: they are finished, up to the drain limit, and everything is settled."""

import asyncio
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from proxy import runtime
from tests.conftest import MakeProxy
from tests.e2e.calls import CHAT, begin, chat, read_to_end
from tests.support.background import Providers
from tests.support.h2_client import H2Client
from tests.support.processes import is_alive
from tests.support.raw_client import connect, post, request, secure
from tests.support.running import accepts, held_by_a_lifeline, stopped_within
from tests.support.waiting import until


@pytest.fixture
def make_proxy(make_process: MakeProxy) -> MakeProxy:
    """Here proxies are processes from scratch."""
    return make_process


async def test_a_live_stream_is_finished_before_the_end(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=40, interval_s=0.03)
    proxy = make_proxy(provider)
    client = await begin(proxy, chat(prompt, stream=True))
    proxy.process.popen.send_signal(signal.SIGTERM)
    await until(lambda: not accepts(proxy.port()), "nothing new is accepted")
    assert proxy.admin("/readyz")[0] == 503
    rest = await read_to_end(client)
    client.abort()
    assert rest.count(b"data: ") > 20
    assert b"[DONE]" in rest
    await until(lambda: not proxy.process.is_running(), "the process has ended")
    assert proxy.process.popen.returncode == 0
    (row,) = proxy.rows()
    assert (row["status"], row["error"], row["output_tokens"]) == (200, "", 40)
    assert not (proxy.data_dir / runtime.FILE_NAME).exists()


async def test_an_http2_client_is_told_and_gets_the_rest(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=40, interval_s=0.03)
    proxy = make_proxy(provider)
    trust = proxy.trust()
    trust.set_alpn_protocols(["h2"])
    async with H2Client(await secure(proxy.port(), trust)) as client:
        stream = await client.post(CHAT, chat(prompt, stream=True))
        await client.wait(lambda: bool(stream.body))
        proxy.process.popen.send_signal(signal.SIGTERM)
        await client.finish(stream)
        await client.wait(lambda: client.is_over)
    assert stream.body.endswith(b"data: [DONE]\n\n")
    assert client.goaway == 0


async def test_an_endless_stream_ends_at_the_drain_limit(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, events=5000, interval_s=0.05)
    proxy = make_proxy(provider, {"drain": {"timeout_s": 1.0}})
    client = await begin(proxy, chat(prompt, stream=True))
    await client.read()
    proxy.process.popen.send_signal(signal.SIGTERM)
    took = await asyncio.to_thread(stopped_within, proxy.process, 10)
    client.abort()
    assert proxy.process.popen.returncode == 0
    assert 0.9 < took < 5
    (row,) = proxy.rows()
    assert (row["estimated"], row["status"]) == (1, 200)
    assert len(proxy.events("exchanges_cut_off")) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_idle_connections_do_not_delay_the_end(
    make_proxy: MakeProxy, provider: Providers, number: signal.Signals
) -> None:
    proxy = make_proxy(provider, {"drain": {"timeout_s": 20}})
    async with await secure(proxy.port(), proxy.trust()) as client, await connect(proxy.port()) as silent:
        client.send(request("GET", "/v1/models"))
        assert (await client.answer()).status == 200
        proxy.process.popen.send_signal(number)
        took = await asyncio.to_thread(stopped_within, proxy.process, 15)
        assert await client.read_all() == await silent.read_all() == b""
    assert (proxy.process.popen.returncode, took < 5) == (0, True)


async def test_a_tunnel_does_not_outlive_the_drain_limit(make_proxy: MakeProxy, provider: Providers) -> None:
    proxy = make_proxy(provider, {"drain": {"timeout_s": 0.5}})
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        async with await connect(proxy.port()) as client:
            client.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nhost: x\r\n\r\n" % elsewhere.getsockname()[1])
            await client.read_until(b"\r\n\r\n")
            client.send(b"hello")
            proxy.process.popen.send_signal(signal.SIGTERM)
            took = await asyncio.to_thread(stopped_within, proxy.process, 15)
    assert (proxy.process.popen.returncode, took < 5) == (0, True)


async def test_a_keep_alive_client_is_told_to_close_while_draining(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    provider.options = replace(provider.options, latency_s=0.5)
    proxy = make_proxy(provider)
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(post(chat(prompt)))
        await until(lambda: provider.count(path=CHAT) == 1, "the call is under way")
        proxy.process.popen.send_signal(signal.SIGTERM)
        answer = await client.answer()
        assert (answer.status, answer.header("connection")) == (200, "close")


async def test_the_process_ends_with_its_lifeline(tmp_path: Path) -> None:
    with held_by_a_lifeline(tmp_path, {}) as process:
        assert process.stdin is not None
        process.stdin.close()
        started_at = time.monotonic()
        assert process.wait(30) == 0
        assert time.monotonic() - started_at < 10
    assert not is_alive(process.pid)
