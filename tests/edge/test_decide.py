"""Whose a connection is: the whole table."""

from collections.abc import Sequence

import pytest

from proxy.edge.decide import (
    Close,
    Decision,
    Going,
    Hello,
    Ours,
    Tunnel,
    decide_destination,
    decide_plain,
    decide_tls,
    may_speak_first,
)
from proxy.edge.destination import Destination
from proxy.edge.pins import PinKey

OPENAI = "api.openai.com"
NOWHERE = Going("", 443)
PIN = PinKey("10.0.0.1", OPENAI, "stack")


class Rules:
    """api.openai.com and 10.9.9.9 on 443 are providers, and so is localhost on 11434."""

    def __init__(self, passthrough: Sequence[str] = (), *, pinned: bool = False) -> None:
        self.passthrough = passthrough
        self._pinned = pinned

    def is_provider(self, host: str, port: int) -> bool:
        return (host, port) in ((OPENAI, 443), (OPENAI, 80), ("localhost", 11434), ("other.openai.azure.com", 443))

    def is_pinned(self, key: PinKey) -> bool:
        return self._pinned and key == PIN


def hello(name: str = OPENAI, *alpn: bytes) -> Hello:
    return Hello(name, alpn, "stack")


def ours(host: str = OPENAI, port: int = 443) -> Ours:
    return Ours(Destination("https", host, port), with_tls=True, pin=PinKey("10.0.0.1", host, "stack"))


@pytest.mark.parametrize(
    ("said", "going", "rules", "decision"),
    [
        (hello(), Going(OPENAI, 443), Rules(), ours()),
        (hello(OPENAI, b"h2", b"http/1.1"), Going(OPENAI, 443), Rules(), ours()),
        (hello(OPENAI, b"http/1.0"), Going(OPENAI, 443), Rules(), ours()),
        (hello(""), Going(OPENAI, 443), Rules(), ours()),  # no SNI: the way it was going says it
        (hello(), Going("10.1.2.3", 443), Rules(), ours()),  # redirected by the kernel: the server name says it
        (hello(), NOWHERE, Rules(), ours()),
        (hello(), Going("proxy.example", 443), Rules(), ours()),
        (hello("example.com"), Going("example.com", 443), Rules(), Tunnel("example.com", 443, "not_a_provider")),
        (hello("example.com"), Going("10.1.2.3", 443), Rules(), Tunnel("10.1.2.3", 443, "not_a_provider")),
        (hello("example.com"), Going(OPENAI, 443), Rules(), Tunnel(OPENAI, 443, "not_a_provider")),
        (hello(), Going(OPENAI, 8443), Rules(), Tunnel(OPENAI, 8443, "not_a_provider")),
        (hello("example.com"), NOWHERE, Rules(), Close("unknown_server_name")),
        (hello("example.com"), NOWHERE, Rules(["*.com"]), Tunnel("example.com", 443, "passthrough")),
        (hello(""), NOWHERE, Rules(), Close("no_server_name")),
        (hello(), Going(OPENAI, 443), Rules(["*.openai.com"]), Tunnel(OPENAI, 443, "passthrough")),
        (hello(), Going("10.1.2.3", 443), Rules([OPENAI]), Tunnel("10.1.2.3", 443, "passthrough")),
        (hello(OPENAI, b"grpc-exp", b"h2"), Going(OPENAI, 443), Rules(), Tunnel(OPENAI, 443, "other_protocol")),
        (hello(OPENAI, b"mqtt"), Going(OPENAI, 443), Rules(), Tunnel(OPENAI, 443, "other_protocol")),
        (hello(), Going(OPENAI, 443), Rules(pinned=True), Tunnel(OPENAI, 443, "pinned")),
        (
            hello("other.openai.azure.com"),
            Going("other.openai.azure.com", 443),
            Rules(pinned=True),
            ours("other.openai.azure.com"),
        ),
    ],
)
def test_tls(said: Hello, going: Going, rules: Rules, decision: Decision) -> None:
    assert decide_tls(said, going, "10.0.0.1", rules) == decision


@pytest.mark.parametrize(("tls", "scheme"), [(True, "https"), (False, "http"), (None, "http")])
def test_a_reverse_listener_is_always_ours(tls: bool | None, scheme: str) -> None:
    going = Going("anything.example", 9000, fixed=True, tls=tls)
    destination = Destination(scheme, "anything.example", 9000, fixed=True)
    assert decide_tls(hello("whoever"), going, "10.0.0.1", Rules(["*"], pinned=True)) == Ours(
        destination, with_tls=True
    )
    assert decide_plain(b"GET / HT", going, Rules()) == Ours(destination, with_tls=False)
    assert decide_destination(going, Rules()) is None


@pytest.mark.parametrize(
    ("first_bytes", "going", "rules", "decision"),
    [
        (
            b"POST /api/chat",
            Going("localhost", 11434),
            Rules(),
            Ours(Destination("http", "localhost", 11434), with_tls=False),
        ),
        (b"GET / HTTP/1.1", Going(OPENAI, 80), Rules(), Ours(Destination("http", OPENAI, 80), with_tls=False)),
        (b"GET / HTTP/1.1", Going(OPENAI, 80), Rules(["*.openai.com"]), Tunnel(OPENAI, 80, "passthrough")),
        (b"SSH-2.0-x", Going("localhost", 11434), Rules(), Tunnel("localhost", 11434, "not_a_provider")),
        (b"PRI * HTTP/2.0", Going("localhost", 11434), Rules(), Tunnel("localhost", 11434, "not_a_provider")),
        (b"GET / HTTP/1.1", Going("example.com", 80), Rules(), Tunnel("example.com", 80, "not_a_provider")),
        (b"GET / HTTP/1.1", NOWHERE, Rules(), Close("no_server_name")),
    ],
)
def test_plain(first_bytes: bytes, going: Going, rules: Rules, decision: Decision) -> None:
    assert decide_plain(first_bytes, going, rules) == decision


@pytest.mark.parametrize(
    ("going", "may"),
    [
        (Going("10.1.2.3", 443), True),
        (Going("2001:db8::1", 8443), True),
        (Going("example.com", 443), True),
        (Going(OPENAI, 443), False),  # whatever its client is waiting for, an LLM call is not to go past us
        (Going("localhost", 11434), False),
        (Going("10.1.2.3", 443, fixed=True), False),
        (NOWHERE, False),
    ],
)
def test_an_origin_that_may_speak_first_is_known_and_no_provider(going: Going, *, may: bool) -> None:
    assert may_speak_first(going, Rules()) is may


@pytest.mark.parametrize(
    ("going", "decision"),
    [
        (Going(OPENAI, 443), None),
        (NOWHERE, None),
        (Going("10.1.2.3", 443), None),
        (Going("2001:db8::1", 443), None),
        (Going("10.1.2.3", 22), Tunnel("10.1.2.3", 22, "not_a_provider", answers_connect=True)),
        (Going("smtp.example", 25), Tunnel("smtp.example", 25, "not_a_provider", answers_connect=True)),
        (Going("example.com", 443), Tunnel("example.com", 443, "not_a_provider", answers_connect=True)),
    ],
)
def test_what_the_destination_alone_tells(going: Going, decision: Tunnel | None) -> None:
    assert decide_destination(going, Rules()) == decision
