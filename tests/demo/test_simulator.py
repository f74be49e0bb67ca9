"""The simulator's server: protocols, counting, identity of answers, codings, control."""

import asyncio
import gzip
import time
from base64 import b64decode
from collections.abc import Callable

import httpx2
import orjson
import pytest
import zstandard

from proxy.demo.asks import Answer
from proxy.demo.faults import Options
from proxy.demo.process import SimulatorProcess
from proxy.demo.simulator import Simulator
from tests.support.processes import is_alive, wait_until
from tests.support.simulator import CHAT, KEY, OPENAI, MakeClient


async def until(is_so: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < give_up_at, "waited in vain"
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
async def test_answers_over_the_protocol_that_was_negotiated(
    simulator: Simulator, make_client: MakeClient, http2: bool
) -> None:
    answer = await make_client(simulator, http2=http2).post(f"{OPENAI}/chat/completions", json=CHAT)

    assert answer.status_code == 200
    assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    assert simulator.calls[0].http_version == ("2" if http2 else "1.1")
    assert dict(simulator.traffic.opened) == {"2" if http2 else "1.1": 1}


async def test_http1_alone_can_be_offered(
    simulator: Simulator, make_client: MakeClient, provider_certificates: object
) -> None:
    async with Simulator(simulator._certificates, Options(http2=False)) as http1:
        answer = await make_client(http1, http2=True).get(f"{OPENAI}/models")
    assert answer.http_version == "HTTP/1.1"


async def test_two_calls_have_two_identifiers_and_one_text(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    first, second = [(await client.post(f"{OPENAI}/chat/completions", json=CHAT)).json() for _ in range(2)]
    assert first["id"] != second["id"]
    assert first["choices"] == second["choices"]


async def test_sampled_answers_differ(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    sampled = {**CHAT, "temperature": 1}
    first, second = [(await client.post(f"{OPENAI}/chat/completions", json=sampled)).json() for _ in range(2)]
    assert first["choices"] != second["choices"]


async def test_calls_are_recorded_and_counted(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    await client.post(f"{OPENAI}/chat/completions?x=1", json=CHAT)
    await client.get("/@api.anthropic.com/v1/models")

    assert [call.host for call in simulator.calls] == ["api.openai.com", "api.anthropic.com"]
    assert simulator.calls[0].target == "/v1/chat/completions?x=1"
    assert orjson.loads(simulator.calls[0].body) == CHAT
    assert simulator.count() == 2
    assert simulator.count(path="/v1/chat/completions") == 1
    assert simulator.count(host="api.anthropic.com", method="GET") == 1
    assert simulator.count(host="api.anthropic.com", method="POST") == 0
    simulator.reset()
    assert simulator.count() == 0
    assert len(simulator.calls) == 0


async def test_recorded_calls_are_bounded_and_counters_are_not(make_client: MakeClient) -> None:
    async with Simulator(None, Options(keep_calls=3)) as simulator:
        client = make_client(simulator)
        for _ in range(5):
            await client.get(f"{OPENAI}/models")
        assert len(simulator.calls) == 3
        assert simulator.count() == 5


async def test_the_host_field_chooses_the_provider(plain_simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(plain_simulator)
    anthropic = await client.get("/v1/models", headers={"host": "api.anthropic.com"})
    default = await client.get("/v1/models")
    website = await client.get("/x?y", headers={"host": "www.example.test:8080"})

    assert anthropic.json()["data"][0]["type"] == "model"
    assert default.json()["object"] == "list"
    assert website.json() == {"host": "www.example.test", "method": "GET", "target": "/x?y", "bytes": 0}


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_large_answers_are_coded_as_the_client_accepts(
    plain_simulator: Simulator, make_client: MakeClient, coding: str
) -> None:
    client = make_client(plain_simulator)
    ask = {"model": "text-embedding-3-small", "input": "x"}
    plain = await client.post(f"{OPENAI}/embeddings", json=ask, headers={"accept-encoding": "identity"})
    refused = await client.post(f"{OPENAI}/embeddings", json=ask, headers={"accept-encoding": f"{coding};q=0"})
    async with client.stream(
        "POST", f"{OPENAI}/embeddings", json=ask, headers={"accept-encoding": f"deflate, {coding}"}
    ) as answer:
        raw = b"".join([piece async for piece in answer.aiter_raw()])

    assert answer.headers["content-encoding"] == coding
    assert len(raw) < len(plain.content)
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in refused.headers


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_coded_requests_are_understood(plain_simulator: Simulator, make_client: MakeClient, coding: str) -> None:
    raw = orjson.dumps(CHAT)
    body = gzip.compress(raw) if coding == "gzip" else zstandard.ZstdCompressor().compress(raw)
    answer = await make_client(plain_simulator).post(
        f"{OPENAI}/chat/completions", content=body, headers={"content-encoding": coding}
    )
    assert answer.status_code == 200
    assert plain_simulator.calls[0].body == body


async def test_a_body_that_is_not_coded_as_declared_is_refused(
    plain_simulator: Simulator, make_client: MakeClient
) -> None:
    answer = await make_client(plain_simulator).post(
        f"{OPENAI}/chat/completions", content=b"{}", headers={"content-encoding": "gzip"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "body is not gzip"


async def test_pipelined_requests_are_answered_in_order(plain_simulator: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", plain_simulator.port)
    ask = b"GET /page/%d HTTP/1.1\r\nhost: example.test\r\n\r\n"
    writer.write(b"".join(ask % number for number in range(200)))
    for number in range(200):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert orjson.loads(await reader.readexactly(length))["target"] == f"/page/{number}"
    writer.close()
    await writer.wait_closed()


async def test_a_script_answers_first(plain_simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(plain_simulator)
    plain_simulator.script(lambda call: Answer([b"mine"], 418) if call.path == "/v1/models" else None)
    assert (await client.get(f"{OPENAI}/models")).status_code == 418
    assert (await client.get(f"{OPENAI}/models/gpt-4o")).status_code == 200


async def test_latency_and_intervals_pace_a_stream(plain_simulator: Simulator, make_client: MakeClient) -> None:
    plain_simulator.options = Options(latency_s=0.05, interval_s=0.01, events=8, jitter=0.5)
    started = time.monotonic()
    async with make_client(plain_simulator).stream(
        "POST", f"{OPENAI}/chat/completions", json={**CHAT, "stream": True}
    ) as answer:
        head_after = time.monotonic() - started
        body = await answer.aread()
    assert head_after >= 0.05
    assert time.monotonic() - started >= 0.05 + 8 * 0.005
    assert body.endswith(b"data: [DONE]\n\n")


async def test_a_client_that_leaves_is_counted(simulator: Simulator, make_client: MakeClient) -> None:
    simulator.options = Options(interval_s=0.02, events=100)
    for http2 in (False, True):
        client = make_client(simulator, http2=http2)
        async with client.stream("POST", f"{OPENAI}/chat/completions", json={**CHAT, "stream": True}) as answer:
            assert await anext(answer.aiter_raw())
        await client.aclose()  # over HTTP/2 this client only forgets a stream that it gives up
    await until(lambda: simulator.traffic.abandoned == 2)
    assert simulator.traffic.completed == 0
    assert simulator.traffic.active_streams == 0


async def test_streams_beyond_the_limit_wait_or_are_refused(
    provider_certificates: object, simulator: Simulator, make_client: MakeClient
) -> None:
    simulator.options = Options(max_streams=5, latency_s=0.02)
    client = make_client(simulator, http2=True)
    await client.get(f"{OPENAI}/models")
    answers = await asyncio.gather(*(client.get(f"{OPENAI}/models") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert simulator.traffic.most_streams <= 5 * simulator.connections_opened


async def test_a_large_answer_to_a_slow_reader_is_held_back(
    plain_simulator: Simulator, make_client: MakeClient
) -> None:
    pieces = [bytes([number % 256]) * 65_536 for number in range(200)]
    plain_simulator.script(lambda _call: Answer(pieces, streamed=True))
    received = 0
    async with make_client(plain_simulator).stream("GET", f"{OPENAI}/models") as answer:
        async for piece in answer.aiter_raw():
            received += len(piece)
            await asyncio.sleep(0)
    assert received == 200 * 65_536
    assert plain_simulator.traffic.completed == 1


async def test_large_http2_answers_obey_the_window(simulator: Simulator, make_client: MakeClient) -> None:
    pieces = [bytes(65_536)] * 60
    simulator.script(lambda _call: Answer(pieces, streamed=True))
    client = make_client(simulator, http2=True)
    answers = await asyncio.gather(*(client.get(f"{OPENAI}/models") for _ in range(4)))
    assert [len(answer.content) for answer in answers] == [60 * 65_536] * 4


async def test_websocket_says_hello_and_echoes(plain_simulator: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", plain_simulator.port)
    writer.write(
        b"GET /v1/realtime HTTP/1.1\r\nhost: api.openai.com\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # the example of RFC 6455, section 1.3
    size = (await reader.readexactly(2))[1]
    assert orjson.loads(await reader.readexactly(size))["type"] == "session.created"

    for payload in (b"hello", b"x" * 300):
        long = bytes([0x80 | 126]) + len(payload).to_bytes(2)
        writer.write(b"\x81" + (bytes([0x80 | len(payload)]) if len(payload) < 126 else long) + bytes(4) + payload)
        echoed = await reader.readexactly(2 + (2 if len(payload) > 125 else 0) + len(payload))
        assert echoed.endswith(payload)
    writer.write(b"\x88\x82\0\0\0\0\x03\xe8")
    assert await reader.read() == b"\x88\x02\x03\xe8"
    writer.close()
    await writer.wait_closed()
    assert plain_simulator.count(path="/v1/realtime") == 1


async def test_nothing_stays_open_after_the_end(provider_certificates: object, make_client: MakeClient) -> None:
    simulator = Simulator(None, Options(interval_s=10))
    await simulator.start()
    client = make_client(simulator)
    request = asyncio.ensure_future(client.post(f"{OPENAI}/chat/completions", json={**CHAT, "stream": True}))
    await until(lambda: simulator.count() == 1)
    await simulator.stop()
    with pytest.raises(httpx2.TransportError):
        await request
    assert simulator.connections_open == 0


async def test_embeddings_follow_from_their_input_alone(plain_simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(plain_simulator)

    async def rows(given: object, **more: object) -> list[list[float]]:
        ask = {"model": "text-embedding-3-small", "input": given, "dimensions": 16, **more}
        answer = await client.post(f"{OPENAI}/embeddings", json=ask)
        return [row["embedding"] for row in answer.json()["data"]]

    together = await rows(["one", "two"])
    assert together == await rows("one") + await rows("two")
    assert sum(value * value for value in together[0]) == pytest.approx(1, abs=1e-3)
    coded = await rows("one", encoding_format="base64")
    assert len(b64decode(str(coded[0]))) == 16 * 4


def test_process_is_steered_and_read_from_outside(simulator_process: SimulatorProcess) -> None:
    simulator_process.set_options({"events": 3})
    simulator_process.set_faults([{"path": "/v1/models", "status": 503, "times": 1}])
    stats = simulator_process.stats()
    assert stats["calls"] == 0
    assert stats["connections_opened"] == {"1.1": 0}  # reading the counters does not count
    simulator_process.reset()
    assert simulator_process.calls() == []
    simulator_process.stop()
    assert not is_alive(simulator_process.pid)


def test_process_ends_with_its_parent(simulator_process: SimulatorProcess) -> None:
    pipe = simulator_process._process.stdin
    assert pipe is not None
    pipe.close()
    wait_until(lambda: simulator_process._process.poll() is not None, "the simulator has ended", deadline_s=10)


async def test_control_refuses_what_it_does_not_know(plain_simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(plain_simulator)
    misspelt = await client.post("/__sim/faults", json=[{"pathh": "*"}])
    unknown = await client.post("/__sim/options", json={"speed": 1})
    assert misspelt.status_code == unknown.status_code == 400
    assert "pathh" in misspelt.json()["error"]
    assert (await client.get("/__sim/nothing")).status_code == 404
    assert KEY["authorization"] not in str(plain_simulator.stats())
