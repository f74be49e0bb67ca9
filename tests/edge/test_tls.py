"""TLS in memory, against a real client's TLS object."""

import ssl
from pathlib import Path

import pytest

from proxy.edge.tls import ServerTls
from tests.support.x509 import TestCa

HOST = "api.openai.com"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Client:
    """The other end, without a network."""

    def __init__(self, context: ssl.SSLContext, server: ServerTls, name: str = HOST) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname=name)
        self.server = server
        self.received = b""  # plain text that the server read

    def pump(self) -> None:
        """Carry what each side has to say to the other."""
        if self._out.pending:
            self.received += self.server.receive(self._out.read())
        if answer := self.server.pending():
            self._in.write(answer)

    def handshake(self) -> None:
        for _ in range(6):
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.pump()
            else:
                self.pump()
                return
        raise AssertionError("the handshake did not end")

    def take(self, ciphertext: bytes) -> bytes:
        self._in.write(ciphertext)
        return self.tls.read(65_536)

    def sent(self) -> bytes:
        return self._out.read()


@pytest.fixture
def ca(tmp_path: Path) -> TestCa:
    return TestCa(tmp_path)


def pair(ca: TestCa, version: ssl.TLSVersion, *, trusting: bool = True, alpn: tuple[str, ...] = ()) -> Client:
    trust = ssl.create_default_context(cafile=ca.root if trusting else None)
    trust.minimum_version = trust.maximum_version = version
    if alpn:
        trust.set_alpn_protocols(list(alpn))
    return Client(trust, ServerTls(ca.context(HOST, alpn=("http/1.1", "h2"))))


@pytest.mark.parametrize("version", VERSIONS)
def test_both_sides_understand_each_other(ca: TestCa, version: ssl.TLSVersion) -> None:
    client = pair(ca, version)
    client.handshake()
    assert client.server.established
    assert client.server.has_answered
    client.tls.write(b"GET / HTTP/1.1\r\n\r\n")
    client.pump()
    assert client.received == b"GET / HTTP/1.1\r\n\r\n"
    assert client.take(client.server.send(b"HTTP/1.1 200 OK\r\n\r\n")) == b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize("version", VERSIONS)
def test_many_records_at_once_are_all_read(ca: TestCa, version: ssl.TLSVersion) -> None:
    client = pair(ca, version)
    client.handshake()
    body = bytes(range(256)) * 2000
    for start in range(0, len(body), 10_000):
        client.tls.write(body[start : start + 10_000])
    client.pump()
    assert client.received == body


@pytest.mark.parametrize("version", VERSIONS)
def test_ciphertext_may_be_cut_anywhere(ca: TestCa, version: ssl.TLSVersion) -> None:
    client = pair(ca, version)
    client.handshake()
    client.tls.write(b"hello")
    assert b"".join(client.server.receive(bytes([byte])) for byte in client.sent()) == b"hello"


@pytest.mark.parametrize(
    ("offered", "chosen"), [((), None), (("h2",), "h2"), (("h2", "http/1.1"), "http/1.1"), (("x",), None)]
)
def test_the_protocol_is_agreed_on(ca: TestCa, offered: tuple[str, ...], chosen: str | None) -> None:
    client = pair(ca, ssl.TLSVersion.TLSv1_3, alpn=offered)
    client.handshake()
    assert client.server.alpn == chosen


@pytest.mark.parametrize("version", VERSIONS)
def test_a_close_notify_is_seen_and_answers_may_still_be_sent(ca: TestCa, version: ssl.TLSVersion) -> None:
    client = pair(ca, version)
    client.handshake()
    client.tls.write(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    client.pump()
    assert client.received == b"last words"
    assert client.server.is_closed
    if version is ssl.TLSVersion.TLSv1_3:  # half-closed: we may still write
        assert client.server.send(b"answer")


@pytest.mark.parametrize("version", VERSIONS)
def test_our_close_notify_is_understood(ca: TestCa, version: ssl.TLSVersion) -> None:
    client = pair(ca, version)
    client.handshake()
    assert client.take(client.server.close()) == b""
    assert client.server.close() == b""


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_does_not_trust_us_says_so(ca: TestCa, version: ssl.TLSVersion) -> None:
    client = pair(ca, version, trusting=False)
    with pytest.raises(ssl.SSLCertVerificationError):
        client.handshake()
    with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"):
        client.pump()


def test_garbage_is_an_error(ca: TestCa) -> None:
    server = ServerTls(ca.context(HOST))
    with pytest.raises(ssl.SSLError):
        server.receive(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")


def test_a_broken_record_is_an_error(ca: TestCa) -> None:
    client = pair(ca, ssl.TLSVersion.TLSv1_3)
    client.handshake()
    client.tls.write(b"hello")
    broken = bytearray(client.sent())
    broken[-1] ^= 1
    with pytest.raises(ssl.SSLError):
        client.server.receive(bytes(broken))


def test_before_the_handshake_there_is_nothing_to_close(ca: TestCa) -> None:
    assert ServerTls(ca.context(HOST)).close() == b""
    assert ServerTls(ca.context(HOST)).pending() == b""
