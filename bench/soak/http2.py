"""A client of the soak that speaks HTTP/2: several streams on one connection, some of them reset on the way.

Rules: frames are h2's; windows are opened at once. Its calls are counted and checked as those in acts.py.
"""

import ssl
from typing import Final

import h2.config
import h2.connection
import h2.errors
import h2.events

from bench.soak.acts import HOT, OPENAI, World, chat
from bench.soak.client import Client, SlowAnswer, WrongAnswer

_STREAMS: Final = 6
_WINDOW: Final = 1 << 20


async def multiplexed(world: World) -> None:
    """Hits, misses and streams at once; every other time one stream is reset, or all are left behind."""
    context: ssl.SSLContext = world.trust_h2
    async with await Client.connect(world.port) as client:
        await client.tunnel(f"{OPENAI}:443")
        await client.secure(context, OPENAI)
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        connection.initiate_connection()
        connection.increment_flow_control_window(_WINDOW)
        streams = [_post(world, connection) for _ in range(_STREAMS)]
        client.send(connection.data_to_send())
        leaves = world.random.random() < 0.2
        if world.random.random() < 0.5:
            connection.reset_stream(streams.pop(), h2.errors.ErrorCodes.CANCEL)
            client.send(connection.data_to_send())
        if leaves:
            world.tally.doubtful["h2"] += _STREAMS
            client.leave(reset=world.random.random() < 0.5)
        else:
            await _read(client, connection, set(streams))


def _post(world: World, connection: h2.connection.H2Connection) -> int:
    stream: int = connection.get_next_available_stream_id()
    is_hot = world.random.random() < 0.5
    prompt = f"hot {world.random.randrange(HOT)}" if is_hot else f"h2 {world.numbers.next()}"
    fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", OPENAI),
        (":path", "/v1/chat/completions"),
        ("authorization", "Bearer sk-soak"),
        ("content-type", "application/json"),
        ("x-skinflint-label-app", "h2"),
    ]
    connection.send_headers(stream, fields)
    connection.send_data(stream, chat(prompt, stream=not is_hot), end_stream=True)
    world.tally.asked["h2"] += 1
    return stream


async def _read(client: Client, connection: h2.connection.H2Connection, streams: set[int]) -> None:
    while streams:
        data = await client.reader.read(65_536)
        if not data:
            raise WrongAnswer(f"{len(streams)} HTTP/2 streams were left without an answer")
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                status = dict(event.headers)[b":status"]
                if status == b"504":
                    raise SlowAnswer
                if status != b"200":
                    raise WrongAnswer(f"an HTTP/2 stream got {status!r}")
            elif isinstance(event, h2.events.DataReceived):
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                streams.discard(event.stream_id)
            elif isinstance(event, h2.events.StreamReset) and event.stream_id in streams:
                raise WrongAnswer("an HTTP/2 stream was reset")
        client.send(connection.data_to_send())
