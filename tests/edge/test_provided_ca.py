"""Authorities that others made: both layouts, chains, keys of both kinds, and what is refused."""

import contextlib
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from proxy.edge.ca import CaError, make
from proxy.edge.leaf import LeafIssuer
from proxy.edge.provided_ca import ProvidedCa, load_provided, warn_of
from tests.support.tls_server import tls_server

NOW = datetime.now(UTC).replace(microsecond=0)
HOST = "api.openai.com"

type Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(
    subject: str,
    key: Key,
    issuer: tuple[str, Key],
    *,
    is_ca: bool = True,
    ends: datetime | None = None,
    names: tuple[str, ...] = (),
    key_name: bytes | None = None,
) -> x509.Certificate:
    """As cert-manager makes them; `key_name`: a subject key identifier that is not ours to compute."""
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier(key_name) if key_name else x509.SubjectKeyIdentifier.from_public_key(public)
    draft = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer[0]))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(ends or NOW + timedelta(days=90))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                True,
                False,
                False,
                False,
                False,
                key_cert_sign=is_ca,
                crl_sign=is_ca,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if names:
        permitted = [x509.DNSName(each) for each in names]
        draft = draft.add_extension(x509.NameConstraints(permitted, None), critical=True)
    return draft.sign(issuer[1], hashes.SHA256())


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def cert_managers(folder: Path, issuer: tuple[x509.Certificate, ...], key: Key, root: x509.Certificate | None) -> Path:
    """A Secret of cert-manager as it is mounted."""
    folder.mkdir(exist_ok=True)
    (folder / "tls.crt").write_bytes(pem(*issuer))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "tls.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    (folder / "tls.key").chmod(0o440)
    if root is not None:
        (folder / "ca.crt").write_bytes(pem(root))
    return folder


def elliptic() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def served(folder: Path) -> str:
    """A client that trusts the root alone takes a leaf for the host."""
    authority = load_provided(folder, NOW)
    trust = ssl.create_default_context(cadata=authority.root_pem.decode())
    context = LeafIssuer(authority, clock=NOW.timestamp).context(HOST)
    with tls_server(context) as server, contextlib.ExitStack() as opened:
        raw = opened.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
        client = opened.enter_context(trust.wrap_socket(raw, server_hostname=HOST))
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        return client.version() or ""


@pytest.mark.parametrize("kind", ["elliptic", "rsa"])
def test_cert_managers_layout_signs_for_clients(tmp_path: Path, kind: str) -> None:
    root_key = elliptic()
    key = elliptic() if kind == "elliptic" else rsa.generate_private_key(65_537, 2048)
    root = certificate("root", root_key, ("root", root_key))
    issuer = certificate("issuer", key, ("root", root_key), names=("openai.com",), key_name=b"\x01" * 20)
    folder = cert_managers(tmp_path / "ca", (issuer,), key, root)
    authority = load_provided(folder, NOW)
    assert (authority.permitted.names, authority.is_ours) == (frozenset({"openai.com"}), False)
    assert authority.root_path.name == "ca.crt"


def test_an_intermediate_of_an_intermediate_is_sent_along(tmp_path: Path) -> None:
    root_key, middle_key, key = elliptic(), elliptic(), elliptic()
    root = certificate("root", root_key, ("root", root_key))
    middle = certificate("middle", middle_key, ("root", root_key))
    issuer = certificate("issuer", key, ("middle", middle_key))
    authority = load_provided(cert_managers(tmp_path / "ca", (issuer, middle, root), key, root), NOW)
    assert authority.chain == (middle,)
    assert authority.permitted.is_everything


def test_a_self_signed_issuer_needs_no_root(tmp_path: Path) -> None:
    key = elliptic()
    alone = certificate("alone", key, ("alone", key))
    authority = load_provided(cert_managers(tmp_path / "ca", (alone,), key, None), NOW)
    assert authority.root == authority.intermediate


def test_what_its_operator_should_know_is_said(tmp_path: Path) -> None:
    key = elliptic()
    alone = certificate("alone", key, ("alone", key), ends=NOW + timedelta(days=3))
    authority = load_provided(cert_managers(tmp_path / "ca", (alone,), key, alone), NOW)
    with capture_logs() as logs:
        warn_of(authority, [HOST], NOW)
    assert [entry["event"] for entry in logs] == ["ca_unconstrained", "ca_ends_soon"]


def test_ours_is_read_as_it_is_made(tmp_path: Path) -> None:
    made = make(tmp_path / "ca", [HOST], NOW)
    authority = load_provided(tmp_path / "ca", NOW)
    assert (authority.root, authority.permitted) == (made.root, made.permitted)
    with pytest.raises(CaError, match="already"):
        make(tmp_path / "ca", [HOST], NOW)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "ca", [HOST], NOW)
    (tmp_path / "ca/intermediate.key").chmod(0o644)
    with pytest.raises(CaError, match="defaultMode 0440"):
        load_provided(tmp_path / "ca", NOW)


def test_the_groups_bit_is_how_a_pod_reads_it(tmp_path: Path) -> None:
    make(tmp_path / "data", [HOST], NOW)
    (tmp_path / "data/intermediate.key").chmod(0o440)
    (tmp_path / "mount").mkdir()
    for file in (tmp_path / "data").iterdir():  # the kubelet's files are links
        (tmp_path / "mount" / file.name).symlink_to(file)
    assert load_provided(tmp_path / "mount", NOW).permitted.allows(HOST)


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    key, other = elliptic(), elliptic()
    alone = certificate("alone", key, ("alone", key))
    leaf = certificate("alone", key, ("alone", key), is_ca=False)
    over = certificate("alone", key, ("alone", key), ends=NOW - timedelta(hours=1))
    stranger = certificate("issuer", key, ("elsewhere", other))
    cases = {
        "not the key of": cert_managers(tmp_path / "a", (alone,), other, alone),
        "no certificate of an authority": cert_managers(tmp_path / "b", (leaf,), key, leaf),
        "it ended on": cert_managers(tmp_path / "c", (over,), key, over),
        "do not lead to the root": cert_managers(tmp_path / "d", (stranger,), key, alone),
        "is missing": tmp_path / "nothing",
    }
    (tmp_path / "e").mkdir()
    (tmp_path / "e/tls.key").write_bytes(b"x")
    (tmp_path / "e/tls.key").chmod(0o400)
    cases["not a private key"] = tmp_path / "e"
    for reason, folder in cases.items():
        with pytest.raises(CaError, match=reason):
            load_provided(folder, NOW)


def test_a_leaf_of_a_short_lived_authority_is_kept_for_a_while(tmp_path: Path) -> None:
    key = elliptic()
    alone = certificate("alone", key, ("alone", key), ends=NOW + timedelta(hours=2))
    issuer = LeafIssuer(load_provided(cert_managers(tmp_path / "ca", (alone,), key, alone), NOW), clock=NOW.timestamp)
    assert issuer.context(HOST) is issuer.context(HOST)


def test_the_same_files_again_are_no_news(tmp_path: Path) -> None:
    make(tmp_path / "ca", [HOST], NOW)
    kept = ProvidedCa(load_provided(tmp_path / "ca", NOW))
    assert kept.poll() is None
    for file in (tmp_path / "ca").iterdir():
        file.unlink()
    with capture_logs() as logs:
        assert kept.poll() is None
    assert [entry["event"] for entry in logs] == ["ca_refused"]
    fresh = make(tmp_path / "ca", [HOST], NOW)
    taken = kept.poll()
    assert taken is not None
    assert taken.root == fresh.root


def test_clients_take_leaves_of_a_foreign_authority(tmp_path: Path) -> None:
    root_key, key = elliptic(), rsa.generate_private_key(65_537, 2048)
    root = certificate("root", root_key, ("root", root_key))
    issuer = certificate("issuer", key, ("root", root_key), key_name=b"\x02" * 20)
    assert served(cert_managers(tmp_path / "ca", (issuer,), key, root)) == "TLSv1.3"
