"""`skinflint ca`."""

import logging
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest
import structlog
from cryptography import x509

from proxy.edge.trust import certificates
from tests.cli.conftest import Run


@pytest.fixture
def folder(home: Path) -> Path:
    return home / "data" / "ca"


@pytest.fixture
def ca(skinflint: Run, home: Path) -> Iterator[Run]:
    handlers = list(logging.getLogger().handlers)
    yield lambda *arguments: skinflint("ca", *arguments, "--data-dir", str(home / "data"))
    logging.getLogger().handlers[:] = handlers  # the command sent all logs to the runner's streams
    structlog.reset_defaults()


def test_path_makes_the_authority_and_prints_only_where_it_is(ca: Run, folder: Path) -> None:
    result = ca("path")
    assert (result.exit_code, result.stdout) == (0, f"{folder / 'skinflint-ca.pem'}\n")
    assert ca("path").stdout == result.stdout
    assert "ca_created" in result.stderr


def test_export_gives_the_root_in_each_format(ca: Run, folder: Path) -> None:
    pem = ca("export").stdout_bytes
    assert pem == (folder / "skinflint-ca.pem").read_bytes()
    assert x509.load_der_x509_certificate(ca("export", "--format", "der").stdout_bytes).subject
    bundle = certificates(ca("export", "--format", "bundle").stdout_bytes)
    assert bundle[-1] == ssl.PEM_cert_to_DER_cert(pem.decode())
    assert len(bundle) > 50


def test_export_writes_a_truststore_that_java_reads(ca: Run, home: Path) -> None:
    keytool = which("keytool")
    if keytool is None:
        pytest.skip("keytool is not installed")
    file = home / "trust.p12"
    assert ca("export", "--format", "p12", "--output", str(file)).exit_code == 0
    command = [keytool, "-list", "-keystore", str(file), "-storepass", "changeit"]
    assert b"trustedCertEntry" in subprocess.run(command, capture_output=True, timeout=60, check=True).stdout


def test_no_export_has_a_key(ca: Run, folder: Path) -> None:
    for name in ("pem", "der", "p12", "bundle"):
        assert b"PRIVATE" not in ca("export", "--format", name).stdout_bytes
    assert b"PRIVATE" in (folder / "intermediate.key").read_bytes()


def test_show_says_what_it_may_sign(ca: Run, home: Path) -> None:
    (home / "skinflint.yaml").write_text("providers:\n  own:\n    hosts: [llm.corp.example, 10.1.2.3]\n")
    lines = [line.strip() for line in ca("show").stdout.splitlines()]
    assert {"api.openai.com", "llm.corp.example", "10.1.2.3/32"} < set(lines)
    assert [line.split()[0] for line in lines[:4]] == ["file", "subject", "fingerprint", "valid"]


def test_an_exposed_key_is_one_message_with_its_remedy(ca: Run, folder: Path) -> None:
    ca("path")
    key = folder / "intermediate.key"
    key.chmod(0o644)
    result = ca("path")
    assert result.exit_code == 1
    assert result.stderr == f"error: {key} can be read by others (mode 0644); run: chmod 600 {key}\n"
