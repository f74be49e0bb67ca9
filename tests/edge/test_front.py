"""TLS of a listener: files that fit, files that do not, and files that change."""

import contextlib
import ssl
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from config.errors import SettingsError
from config.gateway import ListenerTls
from proxy.edge.front import Front
from tests.support.x509 import TestCa


@pytest.fixture
def ca(tmp_path: Path) -> TestCa:
    return TestCa(tmp_path)


def front(pair: Path, client_ca: Path | None = None, key: Path | None = None) -> Front:
    return Front(ListenerTls(certificate=pair, key=key or pair, client_ca=client_ca))


def test_client_certificates_are_demanded_where_their_authority_is_named(ca: TestCa) -> None:
    pair = ca.server("gateway.test")
    assert front(pair).context.verify_mode is ssl.CERT_NONE
    assert front(pair, ca.root).context.verify_mode is ssl.CERT_REQUIRED


def test_files_that_do_not_fit_are_told_without_their_content(ca: TestCa, tmp_path: Path) -> None:
    pair, other = ca.server("gateway.test"), ca.server("gateway.test")
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("secret")
    for made in (
        lambda: front(pair, key=other),
        lambda: front(nonsense),
        lambda: front(pair, client_ca=nonsense),
        lambda: front(tmp_path / "missing"),
    ):
        with pytest.raises(SettingsError, match=r"listeners\.tls") as raised:
            made()
        assert "secret" not in str(raised.value)


def test_a_change_is_taken_and_a_bad_one_is_not(ca: TestCa, tmp_path: Path) -> None:
    served = tmp_path / "served.pem"
    served.write_bytes(ca.server("gateway.test").read_bytes())
    made = front(served)
    first = made.context
    assert not made.poll()
    served.write_text("nonsense")
    with capture_logs() as logs:
        assert not made.poll()
        assert not made.poll()
    assert [entry["event"] for entry in logs] == ["certificate_refused"]
    assert made.context is first
    served.write_bytes(ca.server("gateway.test").read_bytes())
    assert made.poll()
    assert made.context is not first


@pytest.mark.parametrize(("days", "reason"), [(10, "it ended on "), (-10, "it begins on ")])
def test_a_certificate_that_is_not_in_force_is_said_once_and_served(ca: TestCa, days: int, reason: str) -> None:
    pair = ca.server("gateway.test")
    moved_ns = days * 86_400 * 10**9
    made = Front(ListenerTls(certificate=pair, key=pair), lambda: time.time_ns() + moved_ns)
    with capture_logs() as logs:
        assert not made.poll()
        assert not made.poll()
    assert [(entry["event"], entry["file"]) for entry in logs] == [("certificate_not_in_force", str(pair))]
    assert logs[0]["reason"].startswith(reason)


def test_of_a_certificate_that_is_in_force_nothing_is_said(ca: TestCa) -> None:
    made = front(ca.server("gateway.test"))
    with capture_logs() as logs:
        made.poll()
    assert logs == []


def test_clients_are_offered_http1_alone(ca: TestCa) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=str(ca.root))
    client.set_alpn_protocols(["h2", "http/1.1"])
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname="gateway.test")
    serving = front(ca.server("gateway.test")).context.wrap_bio(incoming, outgoing, server_side=True)
    for _ in range(4):
        for side in (asking, serving):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            incoming.write(to_server.read())
            to_client.write(outgoing.read())
    assert asking.selected_alpn_protocol() == "http/1.1"
