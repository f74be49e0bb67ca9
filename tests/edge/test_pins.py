"""What is learned about clients that refuse our certificate."""

import socket
import ssl
import subprocess
from pathlib import Path
from shutil import which

import pytest

from proxy.edge.pins import (
    ALERTS_AFTER_ACCEPTANCE,
    SILENT_CLOSES,
    PinKey,
    PinMemory,
    is_silent_close,
    rejection,
    tls_stack,
)
from tests.support.clock import Clock
from tests.support.tls_server import Handshake, tls_server
from tests.support.x509 import TestCa

KEY = PinKey("10.0.0.7", "api.openai.com", "stack")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pins(clock: Clock) -> PinMemory:
    return PinMemory(60.0, clock, max_entries=3)


def test_an_unknown_client_is_not_pinned(pins: PinMemory) -> None:
    assert not pins.is_pinned(KEY)


def test_an_alert_pins_and_is_news_once(pins: PinMemory) -> None:
    assert [pins.rejected(KEY), pins.rejected(KEY)] == [True, False]
    assert pins.is_pinned(KEY)


def test_a_pin_is_for_one_client_one_name_and_one_stack(pins: PinMemory) -> None:
    pins.rejected(KEY)
    assert not pins.is_pinned(PinKey("10.0.0.8", KEY.server_name, KEY.tls_stack))
    assert not pins.is_pinned(PinKey(KEY.client, "api.anthropic.com", KEY.tls_stack))
    assert not pins.is_pinned(PinKey(KEY.client, KEY.server_name, "another"))


def test_a_pin_ends_and_is_news_again(pins: PinMemory, clock: Clock) -> None:
    pins.rejected(KEY)
    clock.now += 60
    assert not pins.is_pinned(KEY)
    assert pins.rejected(KEY)


def test_an_ended_pin_that_nobody_asked_about_is_news_again(pins: PinMemory, clock: Clock) -> None:
    pins.rejected(KEY)
    clock.now += 60
    assert pins.rejected(KEY)
    assert pins.is_pinned(KEY)


def test_accepting_forgets_the_pin(pins: PinMemory) -> None:
    pins.rejected(KEY)
    pins.accepted(KEY)
    assert not pins.is_pinned(KEY)


def test_silent_closes_pin_only_when_there_are_several(pins: PinMemory) -> None:
    assert [pins.closed(KEY) for _ in range(SILENT_CLOSES + 1)] == [False] * (SILENT_CLOSES - 1) + [True, False]
    assert pins.is_pinned(KEY)


def test_who_accepts_is_not_let_past_because_another_at_its_address_refuses(pins: PinMemory) -> None:
    for _ in range(5):
        pins.accepted(KEY)
        assert [pins.rejected(KEY) for _ in range(ALERTS_AFTER_ACCEPTANCE - 1)] == [False] * (
            ALERTS_AFTER_ACCEPTANCE - 1
        )
        assert not pins.is_pinned(KEY)


def test_who_accepted_once_and_then_only_refuses_is_pinned(pins: PinMemory) -> None:
    pins.accepted(KEY)
    assert [pins.rejected(KEY) for _ in range(ALERTS_AFTER_ACCEPTANCE)] == [False] * (ALERTS_AFTER_ACCEPTANCE - 1) + [
        True
    ]
    assert pins.is_pinned(KEY)


def test_silent_closes_never_pin_a_client_that_has_accepted(pins: PinMemory) -> None:
    pins.accepted(KEY)
    assert not any(pins.closed(KEY) for _ in range(10))
    assert not pins.is_pinned(KEY)


def test_accepting_starts_the_count_anew_after_an_alert(pins: PinMemory) -> None:
    pins.closed(KEY)
    pins.rejected(KEY)
    pins.accepted(KEY)
    assert not pins.closed(KEY)


def test_memory_is_bounded_and_the_longest_unused_goes_first(pins: PinMemory) -> None:
    keys = [PinKey(f"10.0.0.{number}", "api.openai.com", "stack") for number in range(4)]
    for key in keys[:3]:
        pins.rejected(key)
    assert pins.is_pinned(keys[0])
    pins.rejected(keys[3])
    assert len(pins) == 3
    assert [pins.is_pinned(key) for key in keys] == [True, False, True, True]


def test_the_digest_ignores_grease_and_the_order_of_extensions() -> None:
    plain = tls_stack([0x1301, 0x1302], [0, 43, 51])
    assert tls_stack([0x2A2A, 0x1301, 0x1302], [51, 0xFAFA, 0, 43]) == plain
    assert tls_stack([0x1302, 0x1301], [0, 43, 51]) != plain
    assert tls_stack([0x1301, 0x1302], [0, 43]) != plain
    assert tls_stack([0x0A1A, 0x1301, 0x1302], [0, 43, 51]) != plain  # looks similar; is a number like any other


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", "unknown_ca"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "bad_certificate"),
        ("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "certificate_unknown"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "certificate_expired"),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", "certificate_revoked"),
        ("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "unsupported_certificate"),
        ("TLSV1_ALERT_ACCESS_DENIED", "access_denied"),
        ("TLSV1_BAD_CERTIFICATE_STATUS_RESPONSE", "bad_certificate_status_response"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", None),
        ("NO_SHARED_CIPHER", None),
        ("HTTP_REQUEST", None),
        (None, None),
    ],
)
def test_only_alerts_about_certificates_are_rejections(reason: str | None, word: str | None) -> None:
    error = ssl.SSLError(1, "x")
    error.reason = reason  # type: ignore[assignment]
    assert rejection(error) == word


def test_silent_closes_are_told_from_other_errors() -> None:
    assert is_silent_close(ssl.SSLEOFError())
    assert is_silent_close(ConnectionResetError())
    assert not is_silent_close(TimeoutError())
    assert not is_silent_close(ssl.SSLError(1, "x"))


# ── what real clients do ────────────────────────────────────────────────────────────────────────────────────────────


def _outcome(context: ssl.SSLContext, folder: Path, program: str, arguments: list[str]) -> Handshake:
    path = which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    with tls_server(context) as server:
        filled = [argument.replace("PORT", str(server.port)) for argument in arguments]
        subprocess.run(
            [path, *filled],
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return server.handshakes.get(timeout=20)


def _context(folder: Path, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = TestCa(folder).context("localhost")
    context.minimum_version = context.maximum_version = version
    return context


VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


@VERSIONS
@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("openssl", ["s_client", "-connect", "localhost:PORT", "-verify_return_error", "-servername", "localhost"]),
        ("curl", ["-sS", "https://localhost:PORT/"]),
    ],
    ids=["openssl", "curl"],
)
def test_clients_that_send_an_alert_are_recognised(
    tmp_path: Path, version: ssl.TLSVersion, program: str, arguments: list[str]
) -> None:
    handshake = _outcome(_context(tmp_path, version), tmp_path, program, arguments)
    assert handshake.failed_in == "handshake"
    assert isinstance(handshake.error, ssl.SSLError)
    assert rejection(handshake.error) == "unknown_ca"


@VERSIONS
def test_pythons_refusal_of_a_wrong_name_is_recognised(tmp_path: Path, version: ssl.TLSVersion) -> None:
    authority = TestCa(tmp_path)
    context = authority.context("localhost")
    context.minimum_version = context.maximum_version = version
    client = ssl.create_default_context(cafile=str(authority.root))
    with tls_server(context) as server:
        with (
            socket.create_connection(("127.0.0.1", server.port)) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            client.wrap_socket(plain, server_hostname="other.example")
        handshake = server.handshakes.get(timeout=20)
    assert isinstance(handshake.error, ssl.SSLError)
    assert rejection(handshake.error) == "bad_certificate"


def test_node_closes_without_a_word(tmp_path: Path) -> None:
    context = _context(tmp_path, ssl.TLSVersion.TLSv1_3)
    handshake = _outcome(context, tmp_path, "node", ["-e", "fetch('https://localhost:PORT/').catch(() => {})"])
    assert handshake.failed_in == "handshake"
    assert isinstance(handshake.error, OSError)
    assert is_silent_close(handshake.error)


def test_who_is_passed_through_is_counted_by_name(pins: PinMemory, clock: Clock) -> None:
    pins.rejected(KEY)
    pins.rejected(PinKey("10.0.0.8", KEY.server_name, KEY.tls_stack))
    pins.accepted(PinKey("10.0.0.9", "api.anthropic.com", KEY.tls_stack))
    assert pins.pinned() == {"api.openai.com": 2}
    clock.now += 60
    assert pins.pinned() == {}
