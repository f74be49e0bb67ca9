"""What workers say to one another comes across as it was meant, or not at all."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange import frames
from proxy.exchange.errors import ExchangeError, Refusal, UpstreamError
from proxy.exchange.frames import HEADER, CallState, Kind, PeerError
from proxy.exchange.model import Response, UpstreamCall
from proxy.exchange.usage import Usage

CALL = UpstreamCall(
    started_at=1.5,
    status=200,
    first_byte_at=2.5,
    ended_at=3.25,
    complete=True,
    attempts=2,
    bytes_received=70,
    usage=Usage(input_tokens=3, model="m", estimated=True),
)


def payload(framed: bytes, kind: Kind) -> bytes:
    length, number = HEADER.unpack_from(framed)
    assert Kind(number) is kind
    assert len(framed) == HEADER.size + length
    return framed[HEADER.size :]


def test_a_question_names_its_owner_and_its_key() -> None:
    assert frames.asked(payload(frames.ask(1 << 40, b"k" * 32), Kind.ASK)) == (1 << 40, b"k" * 32)


def test_a_question_of_another_version_is_not_understood() -> None:
    said = payload(frames.ask(1, b"k"), Kind.ASK)
    with pytest.raises(PeerError):
        frames.asked(bytes([frames.VERSION + 1]) + said[1:])


@pytest.mark.parametrize("call", [CALL, UpstreamCall(started_at=0.0), None], ids=["ended", "begun", "none"])
@pytest.mark.parametrize("body", [b"whole", None])
def test_heads_cross(call: UpstreamCall | None, body: bytes | None) -> None:
    headers = [(b"x-a", bytes(range(1, 256))), (b"x-a", b"")]
    response = Response(206, headers, body, content_length=5)  # type: ignore[arg-type]
    head = frames.parse_head(payload(frames.head(response, call), Kind.HEAD))
    assert (head.response.status, head.response.headers, head.response.content_length) == (206, headers, 5)
    assert head.is_whole is (body is not None)
    assert head.call == (None if call is None else CallState.of(call))


def test_facts_cross_and_are_shown_in_the_followers_call() -> None:
    state = frames.parse_end(payload(frames.end(CALL), Kind.END))
    assert state == CallState.of(CALL)
    own = UpstreamCall(started_at=state.started_at)
    state.show_in(own)
    assert CallState.of(own) == CallState.of(UpstreamCall(1.5, 200, 2.5, None, True, None, CALL.usage, 2, 70))
    assert not own.ended


@pytest.mark.parametrize(
    "failure",
    [
        UpstreamError("dns_error", "no such name", status=504, sent=False),
        UpstreamError("http_protocol_error", "no HTTP"),
        Refusal("budget", "spent", status=429),
        ExchangeError("internal_error", "failed", status=500),
    ],
    ids=lambda failure: failure.code,
)
def test_failures_cross_as_what_they_are(failure: ExchangeError) -> None:
    told, state = frames.parse_failed(payload(frames.failed(failure, CALL), Kind.FAILED))
    assert type(told) is type(failure)
    assert vars(told) == vars(failure)
    assert state == CallState.of(CALL)


@given(garbage=st.binary(max_size=60))
def test_garbage_is_not_understood(garbage: bytes) -> None:
    for parse in (frames.asked, frames.parse_head, frames.parse_end, frames.parse_failed):
        try:
            parse(garbage)
        except PeerError:
            continue
        assert parse is frames.asked  # whose key may be anything
        assert garbage[0] == frames.VERSION


@pytest.mark.parametrize("said", [[], {}, {"call": 7}, {"call": {}}, {"call": {"usage": {"unknown": 1}}}, None])
def test_other_json_is_not_understood(said: object) -> None:
    for parse in (frames.parse_head, frames.parse_end, frames.parse_failed):
        with pytest.raises(PeerError):
            parse(orjson.dumps(said))


def test_messages_of_several_frames_come_apart_as_they_were_put_together() -> None:
    message = frames.at(70) + frames.frame(Kind.CHUNK, b"piece") + frames.end(CALL)
    said = list(frames.each(message))
    assert [kind for kind, _ in said] == [Kind.AT, Kind.CHUNK, Kind.END]
    assert frames.parse_at(said[0][1]) == 70
    assert said[1][1] == b"piece"
    assert frames.parse_end(said[2][1]) == CallState.of(CALL)


@pytest.mark.parametrize(
    "message", [b"\0", b"\0\0\0\x05\x05abc", b"\0\0\0\0\xff", frames.frame(Kind.CHUNK, b"abc")[:-1]]
)
def test_a_message_that_is_cut_off_is_not_understood(message: bytes) -> None:
    with pytest.raises(PeerError):
        list(frames.each(message))


def test_a_position_has_its_length() -> None:
    with pytest.raises(PeerError):
        frames.parse_at(b"\0")


@pytest.mark.parametrize("call", [CALL, UpstreamCall(started_at=7.0)], ids=["ended", "begun"])
def test_times_cross_between_clocks(call: UpstreamCall) -> None:
    """Said when one clock shows 100, and heard when the other shows 1,000."""
    state = frames.parse_end(payload(frames.end(call, 100.0), Kind.END), 1_000.0)
    assert state is not None
    assert state.started_at == call.started_at + 900
    assert state.first_byte_at == (None if call.first_byte_at is None else call.first_byte_at + 900)
    assert state.ended_at == (None if call.ended_at is None else call.ended_at + 900)
