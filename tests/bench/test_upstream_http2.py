"""The upstream's HTTP/2, spoken to by h2."""

import h2.config
import h2.connection
import h2.events
import h2.settings

from bench.upstream_http2 import Http2Wire, header_block

REQUEST = [(":method", "POST"), (":path", "/"), (":scheme", "https"), (":authority", "api.openai.com")]
BODY = b"x" * 10_000


class Talk:
    """A client and the wire; `pump` lets them speak until both are silent."""

    def __init__(self, window: int = 65_535) -> None:
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.client.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
        )
        self.client.initiate_connection()
        self.asked: list[tuple[int, bytes]] = []
        self.resets: list[int] = []
        self.wire = Http2Wire(lambda stream_id, body: self.asked.append((stream_id, body)), self.resets.append)
        self.events: list[h2.events.Event] = []

    def pump(self) -> None:
        while (sent := self.client.data_to_send()) or (answered := self.wire.take_output()):
            if sent:
                for at in range(len(sent)):
                    self.wire.feed(sent[at : at + 1])
            else:
                self.events += self.client.receive_data(answered)

    def ask(self, body: bytes) -> int:
        stream_id = self.client.get_next_available_stream_id()
        self.client.send_headers(stream_id, REQUEST, end_stream=not body)
        if body:
            self.client.send_data(stream_id, body, end_stream=True)
        self.pump()
        return stream_id

    def received(self) -> bytes:
        return b"".join([event.data for event in self.events if isinstance(event, h2.events.DataReceived)])


def test_request_comes_with_its_body() -> None:
    talk = Talk()
    assert talk.ask(BODY) == 1
    assert talk.asked == [(1, BODY)]


def test_answer_arrives() -> None:
    talk = Talk()
    talk.ask(b"")
    talk.wire.send_head(1, header_block([(b"content-type", b"text/plain")]))
    talk.wire.send_data(1, BODY, is_end=True)
    talk.pump()
    head = next(event for event in talk.events if isinstance(event, h2.events.ResponseReceived))
    assert dict(head.headers) == {b":status": b"200", b"content-type": b"text/plain"}
    assert talk.received() == BODY
    assert any(isinstance(event, h2.events.StreamEnded) for event in talk.events)


def test_closed_window_holds_data_until_it_opens() -> None:
    talk = Talk(window=10_000)
    talk.ask(b"x")
    talk.wire.send_head(1, header_block([]))
    for _ in range(3):
        talk.wire.send_data(1, BODY, is_end=False)
    talk.wire.send_data(1, b"end", is_end=True)
    talk.pump()
    assert talk.received() == BODY
    talk.client.increment_flow_control_window(30_000, 1)
    talk.pump()
    assert talk.received() == BODY * 3 + b"end"


def test_reset_stream_is_reported_and_gets_nothing_more() -> None:
    talk = Talk()
    talk.ask(b"x")
    talk.client.reset_stream(1)
    talk.pump()
    talk.wire.send_data(1, BODY, is_end=True)
    assert (talk.resets, talk.wire.take_output()) == ([1], b"")
