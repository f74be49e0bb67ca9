"""The authority on disk: how it is made, kept, refused and replaced, and what real clients let it sign."""

import multiprocessing
import os
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import which

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from structlog.testing import capture_logs

from proxy.edge.ca import (
    INTERMEDIATE_FILE,
    KEY_FILE,
    LIFETIME,
    ROOT_FILE,
    CaError,
    CertificateAuthority,
    exposure,
    fingerprint,
    load,
    load_or_create,
    mint,
    unfit,
)
from proxy.edge.constraints import Permitted
from proxy.edge.files import write_changed, write_whole
from proxy.edge.trust import write_trust
from tests.support.leaves import context_for
from tests.support.tls_server import tls_server

HOSTS = ["api.openai.com", "*.openai.azure.com"]
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ca"


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_first_start_makes_two_tiers(folder: Path) -> None:
    authority = load_or_create(folder, HOSTS, NOW)
    authority.intermediate.verify_directly_issued_by(authority.root)
    authority.root.verify_directly_issued_by(authority.root)
    lengths = [
        item.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
        for item in (authority.root, authority.intermediate)
    ]
    assert lengths == [1, 0]
    assert authority.intermediate.not_valid_after_utc == NOW + LIFETIME
    assert authority.root_path.read_bytes() == authority.root_pem


def test_the_roots_key_is_nowhere(folder: Path) -> None:
    authority = load_or_create(folder, HOSTS, NOW)
    keys = [path.name for path in folder.iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert keys == [KEY_FILE]
    assert authority.key.public_key() == authority.intermediate.public_key() != authority.root.public_key()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o177])
def test_permissions_do_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "ca"
    before = os.umask(umask & 0o077)
    try:
        load_or_create(folder, HOSTS, NOW)
    finally:
        os.umask(before)
    assert (_mode(folder), _mode(folder / KEY_FILE), _mode(folder / ROOT_FILE)) == (0o700, 0o600, 0o644)


def test_a_second_start_finds_the_same(folder: Path) -> None:
    first = load_or_create(folder, HOSTS, NOW)
    second = load_or_create(folder, HOSTS, NOW)
    assert (first.root, first.intermediate) == (second.root, second.intermediate)
    assert second.permitted == Permitted.of_hosts(HOSTS)


def _create(folder: Path, results: "multiprocessing.SimpleQueue[str]") -> None:
    results.put(fingerprint(load_or_create(folder, HOSTS, NOW).intermediate))


def test_processes_that_start_at_once_agree(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    processes = [context.Process(target=_create, args=(folder, results)) for _ in range(3)]
    for process in processes:
        process.start()
    seen = {results.get() for _ in processes}
    for process in processes:
        process.join(30)
    assert seen == {fingerprint(load(folder).intermediate)}
    assert sorted(path.name for path in folder.iterdir()) == sorted([ROOT_FILE, INTERMEDIATE_FILE, KEY_FILE])


def test_fewer_hosts_keep_the_authority(folder: Path) -> None:
    first = load_or_create(folder, HOSTS, NOW)
    assert load_or_create(folder, ["eu.openai.azure.com"], NOW).root == first.root


def test_a_new_host_makes_a_new_authority_and_says_why(folder: Path) -> None:
    first = load_or_create(folder, HOSTS, NOW)
    with capture_logs() as logs:
        second = load_or_create(folder, [*HOSTS, "api.anthropic.com"], NOW)
    assert second.root != first.root
    assert second.permitted.allows("api.anthropic.com")
    assert [(line["event"], line.get("reason")) for line in logs] == [
        ("ca_replaced", "it does not permit api.anthropic.com"),
        ("ca_created", None),
    ]
    assert (folder / f"{ROOT_FILE}.old").read_bytes() == first.root_pem
    assert _mode(folder / f"{KEY_FILE}.old") == 0o600


def test_an_authority_is_replaced_thirty_days_before_its_end(folder: Path) -> None:
    first = load_or_create(folder, HOSTS, NOW)
    end = NOW + LIFETIME
    assert load_or_create(folder, HOSTS, end - timedelta(days=30)).root == first.root
    assert unfit(first, first.permitted, end - timedelta(days=29)) == f"it ends on {end:%Y-%m-%d}"
    assert load_or_create(folder, HOSTS, end - timedelta(days=29)).root != first.root


def test_a_clock_that_is_set_back_replaces_nothing(folder: Path) -> None:
    first = load_or_create(folder, HOSTS, NOW)
    with capture_logs() as logs:
        assert load_or_create(folder, HOSTS, datetime(1970, 1, 1, tzinfo=UTC)).root == first.root
    assert [(each["event"], each["now"]) for each in logs] == [("ca_not_valid_yet", "1970-01-01")]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(folder: Path, mode: int) -> None:
    load_or_create(folder, HOSTS, NOW)
    (folder / KEY_FILE).chmod(mode)
    with pytest.raises(CaError, match=f"run: chmod 600 {folder / KEY_FILE}"):
        load_or_create(folder, HOSTS, NOW)


def test_exposure_is_none_for_a_key_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.chmod(0o600)
    assert exposure(path) is None


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        (ROOT_FILE, b"nonsense", "not a certificate"),
        (INTERMEDIATE_FILE, b"", "not a certificate"),
        (KEY_FILE, b"nonsense", "not a private key"),
        (INTERMEDIATE_FILE, None, "missing"),
        (KEY_FILE, None, "missing"),
    ],
)
def test_damage_is_named_and_never_replaced(folder: Path, name: str, content: bytes | None, why: str) -> None:
    load_or_create(folder, HOSTS, NOW)
    path = folder / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    before = {item.name: item.read_bytes() for item in folder.iterdir()}
    with pytest.raises(CaError, match=why) as caught:
        load_or_create(folder, HOSTS, NOW)
    assert str(path) in str(caught.value)
    assert "Restore it" in str(caught.value)
    assert {item.name: item.read_bytes() for item in folder.iterdir()} == before


def test_files_that_do_not_belong_together_are_refused(folder: Path, tmp_path: Path) -> None:
    load_or_create(folder, HOSTS, NOW)
    other = tmp_path / "other"
    load_or_create(other, HOSTS, NOW)
    (folder / KEY_FILE).write_bytes((other / KEY_FILE).read_bytes())
    with pytest.raises(CaError, match="not the key of"):
        load(folder)
    (folder / INTERMEDIATE_FILE).write_bytes((other / INTERMEDIATE_FILE).read_bytes())
    with pytest.raises(CaError, match="not issued by"):
        load(folder)


def test_a_key_of_another_kind_is_refused(folder: Path) -> None:
    load_or_create(folder, HOSTS, NOW)
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / KEY_FILE).write_bytes(key)
    with pytest.raises(CaError, match="not an elliptic curve key"):
        load(folder)


def test_an_intermediate_without_constraints_is_refused(folder: Path) -> None:
    authority = load_or_create(folder, HOSTS, NOW)
    (folder / INTERMEDIATE_FILE).write_bytes(authority.root_pem)
    with pytest.raises(CaError):
        load(folder)


def test_an_unfinished_directory_is_finished(folder: Path) -> None:
    load_or_create(folder, HOSTS, NOW)
    (folder / ROOT_FILE).unlink()
    assert load_or_create(folder, HOSTS, NOW).root == load(folder).root


def test_a_pattern_for_everything_is_refused(folder: Path) -> None:
    with pytest.raises(CaError, match="covers every name"):
        load_or_create(folder, ["*"], NOW)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CaError, match=str(tmp_path / "file")):
        load_or_create(tmp_path / "file" / "ca", HOSTS, NOW)


def test_a_key_that_cannot_be_read_is_named(folder: Path) -> None:
    load_or_create(folder, HOSTS, NOW)
    (folder / KEY_FILE).unlink()
    (folder / KEY_FILE).mkdir()
    with pytest.raises(CaError, match="cannot be read"):
        load(folder)


def test_the_repr_shows_no_key(folder: Path) -> None:
    assert repr(load_or_create(folder, HOSTS, NOW)).startswith(f"CertificateAuthority('{folder}', '")


def test_writing_leaves_nothing_behind_when_it_fails(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "taken", b"x", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_unchanged_content_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert [write_changed(path, b"a"), write_changed(path, b"a"), write_changed(path, b"b")] == [True, False, True]


# ── what real clients accept from the intermediate's key ────────────────────────────────────────────────────────────

JAVA = """
import javax.net.ssl.*;
import java.net.Socket;
public class Handshake {
  public static void main(String[] a) throws Exception {
    Socket plain = new Socket("127.0.0.1", Integer.parseInt(a[0]));
    SSLSocket tls = (SSLSocket) ((SSLSocketFactory) SSLSocketFactory.getDefault())
        .createSocket(plain, a[1], Integer.parseInt(a[0]), true);
    SSLParameters p = tls.getSSLParameters();
    p.setEndpointIdentificationAlgorithm("HTTPS");
    tls.setSSLParameters(p);
    tls.startHandshake();
    tls.close();
  }
}
"""
PYTHON = (
    "import socket, ssl, sys; port, name, ca = sys.argv[1:];"
    "ssl.create_default_context(cafile=ca).wrap_socket("
    "socket.create_connection(('127.0.0.1', int(port))), server_hostname=name)"
)
NODE = (
    "const [port, name, ca] = process.argv.slice(1);"
    "const ip = require('net').isIP(name);"
    "const s = require('tls').connect({host: '127.0.0.1', port, ca: require('fs').readFileSync(ca),"
    " servername: ip ? '' : name, checkServerIdentity: (h, c) => require('tls').checkServerIdentity(name, c)},"
    " () => process.exit(0)); s.on('error', (e) => { console.error(e.code); process.exit(1); });"
)

type Accepts = Callable[[CertificateAuthority, int, str, Path], bool]


def _runs(command: list[str]) -> bool:
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, env={"PATH": os.environ["PATH"]})
    return done.returncode == 0


def _python(authority: CertificateAuthority, port: int, name: str, folder: Path) -> bool:
    return _runs([_program("python3"), "-c", PYTHON, str(port), name, str(authority.root_path)])


def _openssl(authority: CertificateAuthority, port: int, name: str, folder: Path) -> bool:
    check = "-verify_ip" if name[0].isdigit() or ":" in name else "-verify_hostname"
    trust = ["-CAfile", str(authority.root_path), check, name, "-verify_return_error"]
    return _runs([_program("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", *trust])


def _curl(authority: CertificateAuthority, port: int, name: str, folder: Path) -> bool:
    host = f"[{name}]" if ":" in name else name
    to = ["--connect-to", f"{host}:{port}:127.0.0.1:{port}", f"https://{host}:{port}/"]
    return _runs([_program("curl"), "-sS", "--noproxy", "*", "--cacert", str(authority.root_path), *to])


def _node(authority: CertificateAuthority, port: int, name: str, folder: Path) -> bool:
    return _runs([_program("node"), "-e", NODE, str(port), name, str(authority.root_path)])


def _java(authority: CertificateAuthority, port: int, name: str, folder: Path) -> bool:
    source = folder / "Handshake.java"
    source.write_text(JAVA)
    trust = write_trust(authority, folder / "trust", [])
    store = [f"-Djavax.net.ssl.trustStore={trust.truststore}", "-Djavax.net.ssl.trustStorePassword=changeit"]
    return _runs([_program("java"), *store, str(source), str(port), name])


def _program(name: str) -> str:
    path = which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


CLIENTS = pytest.mark.parametrize(
    "accepts", [_python, _openssl, _curl, _node, _java], ids=["python", "openssl", "curl", "node", "java"]
)


@CLIENTS
@pytest.mark.parametrize(
    ("hosts", "names", "asked", "accepted"),
    [
        (["api.openai.com"], ["api.openai.com"], "api.openai.com", True),
        (["*.openai.azure.com"], ["my.openai.azure.com"], "my.openai.azure.com", True),
        (["api.openai.com"], ["github.com"], "github.com", False),
        (["api.openai.com"], ["api.openai.com", "github.com"], "api.openai.com", False),
        (["api.openai.com"], ["10.0.0.1"], "10.0.0.1", False),
        (["api.openai.com"], ["fd00::1"], "fd00::1", False),
        (["api.openai.com", "10.0.0.1"], ["10.0.0.1"], "10.0.0.1", True),
        (["api.openai.com", "10.0.0.1"], ["10.0.0.2"], "10.0.0.2", False),
        (["api.openai.com", "10.0.0.1"], ["fd00::1"], "fd00::1", False),
        (["api.openai.com", "10.0.0.1"], ["api.openai.com"], "api.openai.com", True),
        (["api.openai.com", "fd00::1"], ["fd00::1"], "fd00::1", True),
        (["api.openai.com", "fd00::1"], ["10.0.0.1"], "10.0.0.1", False),
        (["10.0.0.1"], ["api.openai.com"], "api.openai.com", False),
    ],
)
def test_clients_accept_what_is_permitted_and_nothing_else(
    tmp_path: Path, accepts: Accepts, hosts: list[str], names: list[str], asked: str, accepted: bool
) -> None:
    authority = load_or_create(tmp_path / "ca", hosts, NOW)
    with tls_server(context_for(authority, tmp_path, *names)) as server:
        assert accepts(authority, server.port, asked, tmp_path) is accepted


def test_mint_needs_no_directory(tmp_path: Path) -> None:
    mint(tmp_path / "nowhere", Permitted.of_hosts(HOSTS), NOW)
    assert not (tmp_path / "nowhere").exists()
