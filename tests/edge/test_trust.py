"""The files that clients are given."""

import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from shutil import which

import certifi
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from structlog.testing import capture_logs

from proxy.edge.ca import CertificateAuthority, load_or_create
from proxy.edge.trust import TrustFiles, certificates, merge, to_pem, trusted_sources, truststore, write_trust
from tests.support.x509 import TestCa

NOW = datetime.now(UTC)


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return load_or_create(tmp_path / "ca", ["api.openai.com"], NOW)


@pytest.fixture
def public(tmp_path: Path) -> Path:
    (tmp_path / "public").mkdir()
    return TestCa(tmp_path / "public").root


def _der(path: Path) -> bytes:
    return certificates(path.read_bytes())[0]


def test_the_bundle_has_the_usual_roots_and_ours(tmp_path: Path, authority: CertificateAuthority, public: Path) -> None:
    files = write_trust(authority, tmp_path / "trust", [public])
    assert certificates(files.bundle.read_bytes()) == [_der(public), authority.root.public_bytes(Encoding.DER)]
    assert files.ca.read_bytes() == authority.root_pem
    assert files == TrustFiles.in_directory(tmp_path / "trust")


def test_the_bundle_of_real_roots_keeps_them_all(tmp_path: Path, authority: CertificateAuthority) -> None:
    files = write_trust(authority, tmp_path / "trust", [Path(certifi.where())])
    usual = set(certificates(Path(certifi.where()).read_bytes()))
    assert usual < set(certificates(files.bundle.read_bytes()))
    context = ssl.create_default_context(cafile=str(files.bundle))
    assert context.cert_store_stats()["x509_ca"] > 50


def test_everyone_may_read_the_public_files(tmp_path: Path, authority: CertificateAuthority, public: Path) -> None:
    files = write_trust(authority, tmp_path / "trust", [public])
    for path in (files.ca, files.bundle, files.truststore, files.node_preload):
        assert path.stat().st_mode & 0o777 == 0o644
    assert not [path for path in (tmp_path / "trust").rglob("*") if path.is_file() and b"PRIVATE" in path.read_bytes()]


def test_nothing_is_rewritten_when_nothing_changed(
    tmp_path: Path, authority: CertificateAuthority, public: Path
) -> None:
    files = write_trust(authority, tmp_path / "trust", [public])
    before = {path: path.stat().st_ino for path in (tmp_path / "trust").rglob("*")}
    write_trust(authority, tmp_path / "trust", [public])
    assert {path: path.stat().st_ino for path in (tmp_path / "trust").rglob("*")} == before
    files.truststore.unlink()
    write_trust(authority, tmp_path / "trust", [public])
    assert files.truststore.exists()


def test_a_new_source_rewrites_bundle_and_truststore(
    tmp_path: Path, authority: CertificateAuthority, public: Path
) -> None:
    files = write_trust(authority, tmp_path / "trust", [])
    before = (files.bundle.read_bytes(), files.truststore.read_bytes())
    write_trust(authority, tmp_path / "trust", [public])
    assert files.bundle.read_bytes() != before[0]
    assert files.truststore.read_bytes() != before[1]


def test_an_unreadable_source_is_logged_and_left_out(tmp_path: Path, authority: CertificateAuthority) -> None:
    with capture_logs() as logs:
        files = write_trust(authority, tmp_path / "trust", [tmp_path / "absent"])
    assert [line["event"] for line in logs] == ["roots_unreadable"]
    assert len(certificates(files.bundle.read_bytes())) == 1


def test_comments_and_doubles_are_dropped_and_ours_is_last(public: Path, authority: CertificateAuthority) -> None:
    pem, ours = public.read_bytes(), authority.root.public_bytes(Encoding.DER)
    roots = merge([b"# one\n" + pem + b"junk\n" + authority.root_pem, pem.replace(b"\n", b"\r\n")], ours)
    assert roots == [_der(public), ours]
    assert to_pem(roots[0]) == pem


def test_broken_blocks_are_skipped(public: Path) -> None:
    broken = b"-----BEGIN CERTIFICATE-----\nabc=d\n-----END CERTIFICATE-----\n"
    assert certificates(broken + public.read_bytes()) == [_der(public)]


def test_what_no_one_can_parse_stays_out_of_the_truststore(public: Path) -> None:
    with capture_logs() as logs:
        assert truststore([_der(public), b"not a certificate"])
    assert [line["event"] for line in logs] == ["root_left_out_of_truststore"]


def test_java_reads_the_truststore(tmp_path: Path, authority: CertificateAuthority) -> None:
    keytool = which("keytool")
    if keytool is None:
        pytest.skip("keytool is not installed")
    files = write_trust(authority, tmp_path / "trust", [Path(certifi.where())])
    done = subprocess.run(
        [keytool, "-list", "-keystore", str(files.truststore), "-storepass", files.truststore_password],
        capture_output=True,
        timeout=60,
        check=True,
    )
    roots = certificates(files.bundle.read_bytes())
    assert f"contains {len(roots)} entries".encode() in done.stdout


def test_php_is_told_of_the_bundle(tmp_path: Path, authority: CertificateAuthority) -> None:
    files = write_trust(authority, tmp_path / "trust", [])
    (settings,) = files.php_folder.iterdir()
    assert settings.read_text() == f'curl.cainfo="{files.bundle}"\nopenssl.cafile="{files.bundle}"\n'


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / name for name in ("ours", "system", "corporate", "extra")}
    for path in paths.values():
        path.touch()
    return paths


def test_the_systems_bundle_is_the_source(places: dict[str, Path]) -> None:
    absent = places["ours"].with_name("absent")
    assert trusted_sources({}, places["ours"], [absent, places["system"]]) == [places["system"]]


def test_a_variable_comes_before_the_system(places: dict[str, Path]) -> None:
    environ = {"SSL_CERT_FILE": str(places["corporate"])}
    assert trusted_sources(environ, places["ours"], [places["system"]]) == [places["corporate"]]


def test_our_own_bundle_is_never_a_source(places: dict[str, Path], tmp_path: Path) -> None:
    alias = tmp_path / "alias"
    alias.symlink_to(places["ours"])
    environ = {"SSL_CERT_FILE": str(alias), "REQUESTS_CA_BUNDLE": str(places["ours"])}
    assert trusted_sources(environ, places["ours"], [places["system"]]) == [places["system"]]


def test_roots_that_other_variables_name_are_added_once(places: dict[str, Path]) -> None:
    environ = {
        "REQUESTS_CA_BUNDLE": str(places["extra"]),
        "NODE_EXTRA_CA_CERTS": str(places["extra"]),
        "CURL_CA_BUNDLE": str(places["system"]),
        "AWS_CA_BUNDLE": "/absent",
    }
    assert trusted_sources(environ, places["ours"], [places["system"]]) == [places["system"], places["extra"]]


def test_certifi_is_the_last_resort(places: dict[str, Path]) -> None:
    assert trusted_sources({}, places["ours"], []) == [Path(certifi.where())]
