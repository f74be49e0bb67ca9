"""Leaves and the contexts that serve them."""

import os
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from proxy.edge.ca import LIFETIME, CertificateAuthority, load_or_create
from proxy.edge.leaf import HostNotPermittedError, LeafIssuer
from tests.support.clock import Clock

HOST = "api.openai.com"
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return load_or_create(tmp_path / "ca", [HOST, "*.openai.azure.com", "10.0.0.1"], NOW)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW.timestamp())


@pytest.fixture
def issuer(authority: CertificateAuthority, clock: Clock) -> LeafIssuer:
    return LeafIssuer(authority, clock=clock, max_hosts=3)


class Pair:
    """A client and a server that talk through memory."""

    def __init__(
        self,
        server: ssl.SSLContext,
        client: ssl.SSLContext,
        name: str = HOST,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._to_server, self._to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(self._to_client, self._to_server, server_hostname=name, session=session)
        self.server = server.wrap_bio(self._to_server, self._to_client, server_side=True)
        waiting = [self.client, self.server]
        while waiting:
            for side in list(waiting):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                waiting.remove(side)
        self.server.write(b"x")  # with TLS 1.3 the client reads its ticket together with the first data
        assert self.client.read(1) == b"x"


def _client(authority: CertificateAuthority, *alpn: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.root_path))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def test_a_leaf_is_for_its_host_alone(issuer: LeafIssuer, authority: CertificateAuthority) -> None:
    leaf = issuer.mint(HOST, NOW)
    leaf.verify_directly_issued_by(authority.intermediate)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName(HOST)]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_key_identifiers_lead_from_leaf_to_issuer(issuer: LeafIssuer, authority: CertificateAuthority) -> None:
    leaf = issuer.mint(HOST, NOW)
    named = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    own = authority.intermediate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert named == own


def test_a_leaf_lives_a_month_and_not_longer_than_its_issuer(issuer: LeafIssuer) -> None:
    leaf = issuer.mint(HOST, NOW)
    assert (leaf.not_valid_before_utc, leaf.not_valid_after_utc) == (NOW - timedelta(days=1), NOW + timedelta(days=30))
    late = issuer.mint(HOST, NOW + LIFETIME - timedelta(days=3))
    assert late.not_valid_after_utc == NOW + LIFETIME


def test_serial_numbers_differ(issuer: LeafIssuer) -> None:
    assert issuer.mint(HOST, NOW).serial_number != issuer.mint(HOST, NOW).serial_number


def test_an_address_gets_a_leaf_with_an_address(issuer: LeafIssuer, authority: CertificateAuthority) -> None:
    leaf = issuer.mint("10.0.0.1", NOW)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.IPAddress(ip_address("10.0.0.1"))]
    Pair(issuer.context("10.0.0.1"), _client(authority), "10.0.0.1")


def test_a_name_too_long_for_a_common_name_is_served(issuer: LeafIssuer, authority: CertificateAuthority) -> None:
    host = f"{'a' * 60}.openai.azure.com"
    Pair(issuer.context(host), _client(authority), host)


@pytest.mark.parametrize("host", ["github.com", "openai.com", "10.0.0.2", "", "a..openai.azure.com"])
def test_a_host_that_is_not_permitted_is_refused(issuer: LeafIssuer, host: str) -> None:
    with pytest.raises(HostNotPermittedError, match="does not permit"):
        issuer.context(host)


@pytest.mark.parametrize(
    ("offered", "h2_only", "chosen"),
    [
        (["h2", "http/1.1"], False, "http/1.1"),
        (["http/1.1"], False, "http/1.1"),
        (["h2"], False, "h2"),
        (["h2", "http/1.1"], True, "h2"),
        (["spdy/3"], False, None),
        ([], False, None),
    ],
)
def test_alpn_follows_our_preference(
    issuer: LeafIssuer, authority: CertificateAuthority, offered: list[str], h2_only: bool, chosen: str | None
) -> None:
    pair = Pair(issuer.context(HOST, h2_only=h2_only), _client(authority, *offered))
    assert pair.server.selected_alpn_protocol() == pair.client.selected_alpn_protocol() == chosen


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_sessions_resume(issuer: LeafIssuer, authority: CertificateAuthority, version: ssl.TLSVersion) -> None:
    client = _client(authority)
    client.minimum_version = client.maximum_version = version
    first = Pair(issuer.context(HOST), client)
    assert not first.client.session_reused
    second = Pair(issuer.context(HOST), client, session=first.client.session)
    assert second.client.session_reused
    assert second.server.session_reused


def test_tls12_gets_aes_128_gcm_and_no_compression(issuer: LeafIssuer, authority: CertificateAuthority) -> None:
    client = _client(authority)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    pair = Pair(issuer.context(HOST), client)
    assert pair.server.cipher() == ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2", 128)
    assert pair.server.compression() is None


def test_tls_below_12_is_refused(issuer: LeafIssuer) -> None:
    assert issuer.context(HOST).minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_context_is_shared_until_its_leaf_nears_its_end(issuer: LeafIssuer, clock: Clock) -> None:
    first = issuer.context(HOST)
    clock.now += 28.9 * 86_400
    assert issuer.context(HOST) is first
    clock.now += 0.2 * 86_400
    assert issuer.context(HOST) is not first


def test_the_two_kinds_of_context_are_kept_apart(issuer: LeafIssuer) -> None:
    assert issuer.context(HOST) is not issuer.context(HOST, h2_only=True)


def test_contexts_are_bounded_and_the_longest_unused_goes_first(issuer: LeafIssuer) -> None:
    hosts = [f"{letter}.openai.azure.com" for letter in "abcd"]
    first = [issuer.context(host) for host in hosts[:3]]
    assert issuer.context(hosts[0]) is first[0]
    issuer.context(hosts[3])
    assert issuer.context(hosts[0]) is first[0]
    assert issuer.context(hosts[2]) is first[2]
    assert issuer.context(hosts[1]) is not first[1]


def test_no_key_is_left_on_the_disk_where_memory_files_are_forbidden(
    monkeypatch: pytest.MonkeyPatch, issuer: LeafIssuer, authority: CertificateAuthority
) -> None:
    def forbidden(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    before = {path.name for path in authority.directory.iterdir()}
    monkeypatch.setattr(os, "memfd_create", forbidden)
    Pair(issuer.context(HOST), _client(authority))
    assert {path.name for path in authority.directory.iterdir()} == before


def test_no_descriptor_is_left_open(issuer: LeafIssuer) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("needs /proc")
    issuer.context(HOST)
    before = len(list(descriptors.iterdir()))
    for number in range(20):
        issuer.context(f"host{number}.openai.azure.com")
    assert len(list(descriptors.iterdir())) == before


def test_minting_takes_well_below_a_millisecond(issuer: LeafIssuer) -> None:
    times = []
    for _ in range(30):
        started = time.perf_counter()
        issuer.mint(HOST, NOW)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.001
