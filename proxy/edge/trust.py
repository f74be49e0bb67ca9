"""The public files that make clients trust us: the root alone, a bundle, a Java truststore, and two clients' aids.

Rules: most variables that name a bundle replace the client's own roots, so the bundle is the roots that were trusted
anyway plus ours, each once, without comments. Our own bundle is never one of its sources. Files are rewritten only
when their content changes, and appear whole; nothing here is secret, so they may stand in a directory of their own
that applications can read.
"""

import base64
import binascii
import hashlib
import re
import textwrap
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import certifi
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate
from cryptography.utils import CryptographyDeprecationWarning

from proxy.edge.ca import ROOT_FILE, CertificateAuthority
from proxy.edge.files import PUBLIC, locked, write_changed, write_whole

log = structlog.get_logger()

BUNDLE_FILE = "bundle.pem"
TRUSTSTORE_FILE = "truststore.p12"
NODE_FILE = "node_preload.cjs"
PHP_FOLDER = "php"
PHP_FILE = "skinflint.ini"
# Java's own default. The store holds public certificates; the password only has to be the one clients are told.
TRUSTSTORE_PASSWORD = "changeit"  # noqa: S105

# Where distributions keep all their roots in one file: Debian and Alpine, Fedora, openSUSE, FreeBSD and macOS.
SYSTEM_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
    Path("/etc/ssl/cert.pem"),
)
# Variables that clients were already told of other roots with, and that will point at our bundle instead.
_SOURCE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")

_NODE_SOURCE = Path(__file__).with_name(NODE_FILE)

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True)
class TrustFiles:
    """Where the public files are. PHP's settings name the bundle, so clients must see them at the paths written to."""

    ca: Path  # our root alone, for clients that add it to their own
    bundle: Path  # the usual roots and ours, for clients that replace their own
    truststore: Path  # the bundle as PKCS #12, for Java
    truststore_password: str = TRUSTSTORE_PASSWORD

    @classmethod
    def in_directory(cls, directory: Path) -> "TrustFiles":
        """The files by their names in one directory."""
        return cls(directory / ROOT_FILE, directory / BUNDLE_FILE, directory / TRUSTSTORE_FILE)

    @property
    def node_preload(self) -> Path:
        """What makes older Node versions use a proxy; beside the bundle."""
        return self.bundle.with_name(NODE_FILE)

    @property
    def php_folder(self) -> Path:
        """A folder with settings that make PHP use the bundle; beside the bundle."""
        return self.bundle.with_name(PHP_FOLDER)


def trusted_sources(environ: Mapping[str, str], ours: Path, system: Sequence[Path] = SYSTEM_BUNDLES) -> list[Path]:
    """The files whose roots clients trust already, without our own bundle `ours`.

    `SSL_CERT_FILE` or else the system's bundle or else certifi's comes first; then what the other variables name.
    """
    named = [Path(environ[name]) for name in ("SSL_CERT_FILE",) if environ.get(name)]
    usable = [path for path in (*named, *system, Path(certifi.where())) if path.is_file() and not _is_same(path, ours)]
    extra = [Path(environ[name]) for name in _SOURCE_VARIABLES if environ.get(name)]
    extra = [path for path in extra if path.is_file() and not _is_same(path, ours)]
    return list(dict.fromkeys(usable[:1] + extra))


def write_trust(authority: CertificateAuthority, directory: Path, sources: Iterable[Path]) -> TrustFiles:
    """Write the public files into `directory`, which may be the authority's own, from the roots in `sources`.

    Unreadable sources are logged and left out. Raises OSError when the files cannot be written.
    """
    files = TrustFiles.in_directory(directory)
    directory.mkdir(parents=True, exist_ok=True)
    roots = merge([_read(path) for path in sources], authority.root.public_bytes(Encoding.DER))
    bundle = b"".join(map(to_pem, roots))
    with locked(directory):
        write_changed(files.ca, authority.root_pem)
        # Encryption and salts vary, so the store follows the bundle. It goes first: a crash between is made good.
        if not files.truststore.exists() or not _says(files.bundle, bundle):
            write_whole(files.truststore, truststore(roots), PUBLIC)
        write_changed(files.bundle, bundle)
        write_changed(files.node_preload, _NODE_SOURCE.read_bytes())
        files.php_folder.mkdir(exist_ok=True)
        write_changed(files.php_folder / PHP_FILE, _php_settings(files.bundle))
    return files


def _php_settings(bundle: Path) -> bytes:
    return "".join(f'{key}="{bundle}"\n' for key in ("curl.cainfo", "openssl.cafile")).encode()


def certificates(pem: bytes) -> list[bytes]:
    """The certificates of a PEM file as DER, in order. Comments and broken blocks are left out."""
    found: list[bytes] = []
    for block in _PEM.findall(pem):
        try:
            found.append(base64.b64decode(b"".join(block.split()), validate=True))
        except binascii.Error:
            continue
    return found


def merge(sources: Iterable[bytes], root: bytes) -> list[bytes]:
    """The certificates of all PEM `sources`, each once, and `root` (DER) last."""
    unique = {hashlib.sha256(der).digest(): der for pem in sources for der in certificates(pem)}
    unique.pop(hashlib.sha256(root).digest(), None)
    return [*unique.values(), root]


def to_pem(der: bytes) -> bytes:
    """One certificate as PEM, without comments."""
    lines = "\n".join(textwrap.wrap(base64.b64encode(der).decode("ascii"), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n".encode("ascii")


def truststore(roots: Sequence[bytes]) -> bytes:
    """A Java truststore (PKCS #12) of DER certificates, opened with TRUSTSTORE_PASSWORD."""
    entries: list[PKCS12Certificate] = []
    for number, der in enumerate(roots):
        try:
            with warnings.catch_warnings():  # about roots whose serial number is not positive: not ours to mend
                warnings.simplefilter("ignore", CryptographyDeprecationWarning)
                certificate = x509.load_der_x509_certificate(der)
            entries.append(PKCS12Certificate(certificate, b"root-%d" % number))
        except ValueError:  # some stores carry roots that break the rules; Java would not take them either
            log.warning("root_left_out_of_truststore", sha256=hashlib.sha256(der).hexdigest())
    # Java checks the store's integrity with the password it is told, so "no encryption" would be refused.
    return pkcs12.serialize_java_truststore(entries, BestAvailableEncryption(TRUSTSTORE_PASSWORD.encode("ascii")))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        log.warning("roots_unreadable", path=str(path), error=exc.strerror)
        return b""


def _says(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


def _is_same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()
