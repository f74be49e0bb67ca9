"""The certificate authority that stands for the providers towards our clients.

Two tiers, because Java ignores name constraints on a certificate it trusts directly and obeys them on one below it:
a root that users install, whose key signs once and is then forgotten, and an intermediate whose critical constraints
permit only the providers' names. Whoever steals the intermediate's key can speak for those names and nothing else.

Rules: files appear under a lock, the root last, so that a directory without a root is an unfinished one. What cannot
be read is never replaced silently. An authority that has become unfit is kept beside the new one as `*.old`.
"""

import os
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proxy.edge.constraints import Permitted
from proxy.edge.files import PRIVATE, PUBLIC, locked, write_whole

log = structlog.get_logger()

ROOT_FILE = "skinflint-ca.pem"
INTERMEDIATE_FILE = "intermediate.pem"
KEY_FILE = "intermediate.key"

LIFETIME = timedelta(days=3652)
RENEW_BEFORE = timedelta(days=30)  # a leaf's whole lifetime: no leaf outlives what signed it
BACKDATED = timedelta(days=1)  # clients' clocks are not all right


class CaError(Exception):
    """The authority on disk cannot be used. The message names the file and what to do about it."""


@dataclass(frozen=True, slots=True, repr=False)
class CertificateAuthority:
    """A root, the intermediate it signed, and the intermediate's key. Its repr shows no key."""

    directory: Path
    root: x509.Certificate
    intermediate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    permitted: Permitted
    chain: tuple[x509.Certificate, ...] = ()  # between the intermediate and the root
    root_file: str = ROOT_FILE
    is_ours: bool = True  # made and kept by us; else see provided_ca.py

    def __repr__(self) -> str:
        return f"CertificateAuthority({str(self.directory)!r}, {fingerprint(self.root)[:23]!r})"

    @property
    def root_path(self) -> Path:
        """What users install."""
        return self.directory / self.root_file

    def lacks(self, hosts: Sequence[str]) -> list[str]:
        """What these provider hosts need that the constraints do not permit."""
        return self.permitted.lacking(Permitted.of_hosts(hosts))

    @property
    def root_pem(self) -> bytes:
        """The root as PEM."""
        return self.root.public_bytes(serialization.Encoding.PEM)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 in the way tools print it: AB:CD:..."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def certified_hosts(provider_hosts: Sequence[str]) -> tuple[str, ...]:
    """What the authority has to permit: the providers, and the name by which clients of a reverse listener know us."""
    return (*provider_hosts, "localhost")


def load_or_create(directory: Path, hosts: Sequence[str], now: datetime) -> CertificateAuthority:
    """The authority in `directory`, made first if there is none, made anew if it does not cover `hosts` or ends soon.

    `hosts` are provider hosts: names, wildcard patterns or addresses. Processes that start at once agree on one.
    Raises CaError when what is there is damaged, incomplete or exposed, or when nothing can be written.
    """
    try:
        permitted = Permitted.of_hosts(hosts)
        _make_directory(directory)
        with locked(directory):
            if (directory / ROOT_FILE).exists():
                current = load(directory)
                reason = unfit(current, permitted, now)
                if reason is None:
                    return current
                log.warning("ca_replaced", reason=reason, directory=str(directory), fix="install the new root")
                _set_aside(directory)
            created = mint(directory, permitted, now)
            _store(created)
    except ValueError as exc:
        raise CaError(f"no certificate authority can be made for these hosts: {exc}") from exc
    except OSError as exc:
        raise CaError(f"{exc.filename or directory}: {exc.strerror}; skinflint must be able to write there") from exc
    log.info("ca_created", path=str(created.root_path), fingerprint=fingerprint(created.root))
    return created


def unfit(authority: CertificateAuthority, wanted: Permitted, now: datetime) -> str | None:
    """Why the authority must be replaced, or None when it may stay."""
    lacking = authority.permitted.lacking(wanted)
    if lacking:
        return "it does not permit " + ", ".join(lacking)
    end = min(authority.root.not_valid_after_utc, authority.intermediate.not_valid_after_utc)
    if end - now < RENEW_BEFORE:
        return f"it ends on {end:%Y-%m-%d}"
    return None


def load(directory: Path) -> CertificateAuthority:
    """The authority in `directory`. Raises CaError when it is missing, damaged, inconsistent or exposed."""
    root = _read_certificate(directory / ROOT_FILE)
    intermediate = _read_certificate(directory / INTERMEDIATE_FILE)
    key = _read_key(directory / KEY_FILE)
    try:
        intermediate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature) as exc:
        raise _damaged(directory / INTERMEDIATE_FILE, f"it was not issued by {ROOT_FILE}") from exc
    if intermediate.public_key() != key.public_key():
        raise _damaged(directory / KEY_FILE, f"it is not the key of {INTERMEDIATE_FILE}")
    try:
        permitted = Permitted.of_certificate(intermediate)
    except ValueError as exc:
        raise _damaged(directory / INTERMEDIATE_FILE, str(exc)) from exc
    return CertificateAuthority(directory, root, intermediate, key, permitted)


def mint(directory: Path, permitted: Permitted, now: datetime) -> CertificateAuthority:
    """A new authority, not yet stored. The root's key does not leave this function."""
    serial = secrets.token_hex(4)  # in the subject, so that stores holding several can tell them apart
    root_key = ec.generate_private_key(ec.SECP256R1())
    root_name = _name(f"Skinflint CA {serial}")
    root = (
        _draft(root_name, root_name, root_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_signs_certificates(), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    intermediate = (
        _draft(_name(f"Skinflint Intermediate {serial}"), root_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_signs_certificates(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(permitted.extension(), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    return CertificateAuthority(directory, root, intermediate, key, permitted)


def make(directory: Path, hosts: Sequence[str], now: datetime) -> CertificateAuthority:
    """A new authority in a directory that has none. Raises CaError."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(directory):
            if any((directory / name).exists() for name in (ROOT_FILE, INTERMEDIATE_FILE, KEY_FILE)):
                raise CaError(f"{directory} has a certificate authority already; remove it, or name another directory")
            created = mint(directory, Permitted.of_hosts(hosts), now)
            _store(created)
    except ValueError as exc:
        raise CaError(f"no certificate authority can be made for these hosts: {exc}") from exc
    except OSError as exc:
        raise CaError(f"{exc.filename or directory}: {exc.strerror}") from exc
    return created


def files_of(authority: CertificateAuthority) -> dict[str, bytes]:
    """The content of its files, by name. The key is among them."""
    key = authority.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        KEY_FILE: key,
        INTERMEDIATE_FILE: authority.intermediate.public_bytes(serialization.Encoding.PEM),
        ROOT_FILE: authority.root_pem,  # last: it says that the others are complete
    }


def exposure(path: Path) -> str | None:
    """Why a key file's permissions cannot be accepted, with the command that mends them; None when they are right.

    As ssh does, it looks at who owns the file: a key that root placed here for our group (a Kubernetes secret with an
    fsGroup) is read through the group's bit, and there is no other way to read it.
    """
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    placed_by_root = status.st_uid == 0 and os.geteuid() != 0
    if mode & (0o037 if placed_by_root else 0o077) == 0:
        return None
    return f"{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}"


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Skinflint"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _signs_certificates() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _make_directory(directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        return  # a mounted volume has the permissions it was given; the key has its own


def _set_aside(directory: Path) -> None:
    for name in (ROOT_FILE, INTERMEDIATE_FILE, KEY_FILE):  # the root first: from here on the directory is unfinished
        (directory / name).replace(directory / f"{name}.old")


def _store(authority: CertificateAuthority) -> None:
    for name, content in files_of(authority).items():
        write_whole(authority.directory / name, content, PRIVATE if name == KEY_FILE else PUBLIC)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise _damaged(path, "it is missing") from exc
    except OSError as exc:
        raise CaError(f"{path} cannot be read: {exc.strerror}; run skinflint as the user who owns it") from exc


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError as exc:
        raise _damaged(path, "it is not a certificate in PEM") from exc


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    content = _read(path)
    exposed = exposure(path)
    if exposed is not None:
        raise CaError(exposed)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as exc:
        raise _damaged(path, "it is not a private key in PEM without a password") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _damaged(path, "it is not an elliptic curve key")
    return key


def _damaged(path: Path, why: str) -> CaError:
    return CaError(
        f"{path}: {why}. Restore it from a copy, or remove {path.with_name(ROOT_FILE)} to have a new certificate "
        "authority made, which clients must then be told to trust"
    )
