"""What goes wrong on demand does go wrong, as clients see it."""

import asyncio
import time

import httpx2
import pytest

from proxy.demo.faults import Faults, Options
from proxy.demo.simulator import Simulator
from tests.demo.test_simulator import until
from tests.support.simulator import CHAT, OPENAI, MakeClient

STREAM = {**CHAT, "stream": True}
BOTH = pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])


async def read_stream(client: httpx2.AsyncClient, received: bytearray, read_timeout_s: float = 20) -> None:
    """Ask for a stream and keep what comes, until it ends or fails."""
    limits = httpx2.Timeout(20, read=read_timeout_s)
    async with client.stream("POST", f"{OPENAI}/chat/completions", json=STREAM, timeout=limits) as answer:
        async for piece in answer.aiter_raw():
            received += piece


@BOTH
@pytest.mark.parametrize("failure", ["close", "reset", "refuse", "garbage"])
async def test_failures_end_the_call_without_an_answer(
    simulator: Simulator, make_client: MakeClient, http2: bool, failure: str
) -> None:
    client = make_client(simulator, http2=http2)
    await client.get(f"{OPENAI}/models/gpt-4o")
    simulator.faults.append(Faults(path="/v1/models", failure=failure))  # type: ignore[arg-type]
    with pytest.raises(httpx2.TransportError):
        await client.get(f"{OPENAI}/models")
    assert simulator.traffic.broken >= 1


async def test_refused_and_reset_streams_leave_the_connection_usable(
    simulator: Simulator, make_client: MakeClient
) -> None:
    client = make_client(simulator, http2=True)
    simulator.faults += [Faults(failure="refuse", times=1), Faults(failure="reset", times=1)]
    for _ in range(2):
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get(f"{OPENAI}/models")
    assert (await client.get(f"{OPENAI}/models")).status_code == 200
    assert simulator.connections_opened == 1


async def test_goaway_leaves_the_stream_undone_and_ends_the_connection(
    simulator: Simulator, make_client: MakeClient
) -> None:
    client = make_client(simulator, http2=True)
    await client.get(f"{OPENAI}/models")
    simulator.faults.append(Faults(goaway=True, times=1))
    # GOAWAY promises that the stream was not processed: this client repeats it on a new connection.
    assert (await client.get(f"{OPENAI}/models")).status_code == 200
    assert simulator.traffic.broken == 1
    assert simulator.count() == 3
    assert simulator.connections_opened == 2


@BOTH
async def test_cut_after_breaks_a_stream_off(simulator: Simulator, make_client: MakeClient, http2: bool) -> None:
    simulator.faults.append(Faults(cut_after=3))
    client = make_client(simulator, http2=http2)
    received = bytearray()
    with pytest.raises(httpx2.TransportError):
        await read_stream(client, received)
    assert received.count(b"\n\n") == 3
    assert simulator.traffic.broken == 1
    assert simulator.traffic.completed == 0


@BOTH
async def test_stall_after_falls_silent(simulator: Simulator, make_client: MakeClient, http2: bool) -> None:
    simulator.faults.append(Faults(stall_after=2))
    client = make_client(simulator, http2=http2)
    received = bytearray()
    with pytest.raises(httpx2.ReadTimeout):
        await read_stream(client, received, read_timeout_s=0.2)
    await client.aclose()
    assert received.count(b"\n\n") == 2
    await until(lambda: simulator.traffic.abandoned == 1)


@BOTH
async def test_a_wrong_length_is_seen_as_truncation(simulator: Simulator, make_client: MakeClient, http2: bool) -> None:
    simulator.faults.append(Faults(length_error=10))
    with pytest.raises(httpx2.TransportError):
        await make_client(simulator, http2=http2).get(f"{OPENAI}/models")


async def test_status_comes_in_the_providers_shape_and_is_used_up(
    simulator: Simulator, make_client: MakeClient
) -> None:
    simulator.faults.append(Faults(host="api.anthropic.com", status=529, retry_after="2", times=2))
    client = make_client(simulator)
    seen = [await client.get("/@api.anthropic.com/v1/models") for _ in range(3)]
    assert [answer.status_code for answer in seen] == [529, 529, 200]
    assert seen[0].headers["retry-after"] == "2"
    assert seen[0].json()["error"]["type"] == "overloaded_error"
    assert simulator.faults == []


async def test_a_client_brings_its_own_faults(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    answer = await client.get(f"{OPENAI}/models", headers={"x-sim-faults": '{"status": 500}'})
    assert answer.status_code == 500
    misspelt = await client.get(f"{OPENAI}/models", headers={"x-sim-faults": '{"statuss": 500}'})
    assert misspelt.status_code == 400


async def test_latency_of_a_fault_replaces_the_options(simulator: Simulator, make_client: MakeClient) -> None:
    simulator.options = Options(latency_s=30)
    simulator.faults.append(Faults(latency_s=0.03))
    started = time.monotonic()
    await make_client(simulator).get(f"{OPENAI}/models")
    assert 0.03 <= time.monotonic() - started < 20


@BOTH
async def test_close_announces_the_end(simulator: Simulator, make_client: MakeClient, http2: bool) -> None:
    client = make_client(simulator, http2=http2)
    simulator.faults.append(Faults(close=True))
    answers = [await client.get(f"{OPENAI}/models") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert simulator.connections_opened == 3


@pytest.mark.parametrize("options", [Options(requests_per_connection=2), Options(goodbye_after=2)])
async def test_connections_end_after_their_share(
    simulator: Simulator, make_client: MakeClient, options: Options
) -> None:
    simulator.options = options
    client = make_client(simulator)
    for number in range(1, 7):
        assert (await client.get(f"{OPENAI}/models")).status_code == 200
        # A silent close is seen by the client only when it has arrived.
        await until(lambda number=number: simulator.connections_open == number % 2)
        await asyncio.sleep(0)
    assert simulator.connections_opened == 3


async def test_hang_up_closes_without_a_word(plain_simulator: Simulator) -> None:
    plain_simulator.faults.append(Faults(hang_up=True))
    reader, writer = await asyncio.open_connection("127.0.0.1", plain_simulator.port)
    writer.write(b"GET / HTTP/1.1\r\nhost: example.test\r\n\r\n")
    answer = await reader.read()
    assert b"connection: close" not in answer.lower()
    assert answer.endswith(b"}")
    writer.close()
    await writer.wait_closed()


async def test_an_idle_connection_is_closed(plain_simulator: Simulator) -> None:
    plain_simulator.options = Options(idle_close_s=0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", plain_simulator.port)
    writer.write(b"GET / HTTP/1.1\r\nhost: example.test\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    await until(lambda: plain_simulator.connections_open == 0)
    writer.close()
    await writer.wait_closed()
