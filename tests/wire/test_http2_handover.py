"""A connection that turns out not to be ours: nothing said too early, and all bytes handed over."""

import pytest
from h2.events import RequestReceived

from proxy.wire.events import BadRequest, RequestHead, WireLimits
from proxy.wire.http2 import Http2Server
from proxy.wire.http2_frames import ANY_FRAME_BYTES, EMPTY_SETTINGS, PREFACE, AckRemover, FrameCutter
from tests.wire.feeding import bytewise
from tests.wire.http2_client import Pair, fields_of

ACK = b"\x00\x00\x00\x04\x01\x00\x00\x00\x00"
PING = b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"
GRPC = fields_of(b"POST", b"/service/Method", (b"te", b"trailers"), (b"content-type", b"application/grpc"))


def test_only_an_empty_settings_frame_is_sent_before_commit() -> None:
    pair = Pair(commit=False)
    assert pair.server.take_output() == EMPTY_SETTINGS
    pair.client.ping(b"12345678")
    pair.request(GRPC, b"message", end=False)
    events = pair.server.receive(pair.client.data_to_send())
    assert isinstance(events[0], RequestHead)
    pair.server.acknowledge(1, 7)
    assert pair.server.take_output() == b""


def test_commit_announces_limits_and_windows() -> None:
    pair = Pair(WireLimits(max_concurrent_streams=17, max_head_bytes=9000, initial_window_bytes=200_000), commit=False)
    pair.request(GRPC, b"message")
    pair.exchange()
    pair.server.commit()
    pair.server.commit()
    pair.exchange()
    settings = pair.client.remote_settings
    assert settings.max_concurrent_streams == 17
    assert settings.initial_window_size == 200_000
    assert settings.max_header_list_size == 9000
    assert pair.client.outbound_flow_control_window == 800_000 - len(b"message")
    pair.server.send_complete(1, 200, [], b"ok")
    pair.exchange()
    assert pair.body() == b"ok"
    assert pair.server.take_raw() == b""


def test_limits_hold_once_the_client_has_acknowledged_them() -> None:
    pair = Pair(WireLimits(max_concurrent_streams=1))
    for stream_id in (1, 3):
        pair.client.remote_settings[4] = 65_535
        pair.client.remote_settings.acknowledge()
        pair.client.remote_settings[3] = 100
        pair.client.remote_settings.acknowledge()
        pair.request(fields_of(), stream_id=stream_id)
    assert isinstance(pair.exchange()[-1], BadRequest)


def test_malformed_first_request_is_answered_without_the_caller() -> None:
    pair = Pair(commit=False)
    pair.request(fields_of(b"GET", b"relative"))
    assert pair.exchange() == []
    assert pair.reset_code() == 1


@pytest.mark.parametrize("ack_comes_first", [True, False])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_origin_understands_what_is_handed_over(ack_comes_first: bool, step: int) -> None:
    pair = Pair(commit=False)
    pair.request(GRPC, b"message", end=False)
    before = pair.client.data_to_send()
    if ack_comes_first:
        before, after = before[:24] + before[24:] + ACK, PING + ACK
    else:
        after = PING + ACK + PING + ACK
    for start in range(0, len(before), step):
        pair.server.receive(before[start : start + step])
    handed = pair.server.take_raw()
    handed += b"".join(pair.server.after_raw(after[start : start + step]) for start in range(0, len(after), step))
    assert handed == (before + after).replace(ACK, b"", 1)
    origin = Http2Server()
    assert isinstance(origin.receive(handed)[0], RequestHead)


def test_a_frame_cut_at_the_handover_is_put_together() -> None:
    pair = Pair(commit=False)
    pair.request(GRPC, b"message")
    raw = pair.client.data_to_send() + ACK[:4]
    pair.server.receive(raw)
    handed = pair.server.take_raw()
    assert handed == raw[:-4]
    assert pair.server.after_raw(ACK[4:] + PING[:3]) == PING[:3]
    assert pair.server.after_raw(PING[3:]) == PING[3:]


def test_raw_bytes_are_bounded() -> None:
    codec = Http2Server()
    codec.receive(PREFACE)
    unknown = b"\x00\x40\x00\x0b\x00\x00\x00\x00\x00" + b"x" * 16_384
    events = [event for _ in range(20) for event in codec.receive(unknown)]
    assert isinstance(events[0], BadRequest)
    assert len(events) == 1
    assert codec.take_output().endswith(b"\x00" * 4 + b"\x00\x00\x00\x0b")
    assert codec.take_raw() == b""


def test_remover_takes_the_first_acknowledgement_only() -> None:
    raw = PREFACE + EMPTY_SETTINGS + ACK + PING + ACK
    expected = PREFACE + EMPTY_SETTINGS + PING + ACK
    assert AckRemover().feed(raw) == expected
    remover = AckRemover()
    assert b"".join(remover.feed(piece) for piece in bytewise(raw)) == expected


def test_remover_takes_one_of_two_in_one_read() -> None:
    assert AckRemover().feed(PREFACE + ACK + ACK + b"\x00") == PREFACE + ACK + b"\x00"


def test_cutter_gives_nothing_after_an_error() -> None:
    cutter = FrameCutter(ANY_FRAME_BYTES)
    assert cutter.feed(b"GET / HTTP/1.1") == []
    assert cutter.error
    assert cutter.feed(PREFACE) == []


def test_first_request_survives_in_the_clients_eyes() -> None:
    pair = Pair(commit=False)
    pair.exchange()
    pair.request(GRPC, b"message")
    pair.exchange()
    assert not any(isinstance(event, RequestReceived) for event in pair.seen)
    pair.server.commit()
    pair.server.send_complete(1, 200, [(b"grpc-status", b"0")], b"")
    pair.exchange()
    assert pair.head()[1] == (b"grpc-status", b"0")
