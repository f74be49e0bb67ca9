"""A certificate authority that was made elsewhere, for replicas that share one: a mounted Secret, never written to.

Two layouts: ours (`skinflint ca make`), and cert-manager's (tls.crt, tls.key, ca.crt). The second may be any authority:
without name constraints it works, and says so once, as whoever has its key can then speak for every host. What its
constraints do not permit is tunnelled. Replaced files are taken anew while the proxy runs: new handshakes get leaves of
the new authority. Clients have to trust its root by then.
"""

import stat
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from config.sight import Sight, look
from proxy.edge.ca import INTERMEDIATE_FILE, KEY_FILE, RENEW_BEFORE, ROOT_FILE, CaError, CertificateAuthority
from proxy.edge.constraints import Permitted

log = structlog.get_logger(__name__)

OURS: Final = (ROOT_FILE, INTERMEDIATE_FILE, KEY_FILE)
CERT_MANAGERS: Final = ("ca.crt", "tls.crt", "tls.key")


def load_provided(directory: Path, now: datetime) -> CertificateAuthority:
    """The authority in `directory`. Raises CaError when it is missing, damaged, exposed or over."""
    layout = OURS if (directory / INTERMEDIATE_FILE).exists() else CERT_MANAGERS
    root_file, issuer_file, key_file = (directory / name for name in layout)
    key = _key(key_file)
    issuer, *chain = _certificates(issuer_file)
    # An issuer that signs itself has no root above it; cert-manager may leave the file out then.
    root = _certificates(root_file)[0] if root_file.exists() or issuer.issuer != issuer.subject else issuer
    if issuer.public_key() != key.public_key():
        raise _unusable(key_file, f"it is not the key of {issuer_file.name}")
    _check_chain([issuer, *(each for each in chain if each != root)], root, issuer_file)
    _check_issuer(issuer, issuer_file, now)
    return CertificateAuthority(
        directory,
        root,
        issuer,
        key,
        Permitted.of_any_certificate(issuer),
        chain=tuple(each for each in chain if each != root),
        root_file=root_file.name,
        is_ours=False,
    )


def warn_of(authority: CertificateAuthority, hosts: Sequence[str], now: datetime) -> None:
    """Say what its operator should know."""
    directory = str(authority.directory)
    if authority.permitted.is_everything:
        effect = "whoever has its key can speak for every host, to all that trust its root"
        log.warning("ca_unconstrained", directory=directory, effect=effect)
    if lacking := authority.lacks(hosts):
        log.warning("ca_lacks_hosts", directory=directory, hosts=lacking[:10], then="connections to them are tunnelled")
    end = min(authority.root.not_valid_after_utc, authority.intermediate.not_valid_after_utc)
    if end - now < RENEW_BEFORE:
        log.warning("ca_ends_soon", directory=directory, end=f"{end:%Y-%m-%d %H:%M}")


class ProvidedCa:
    """Looks whether another authority is there. `current` is in force."""

    def __init__(self, current: CertificateAuthority, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self.current = current
        self._clock_ns = clock_ns
        self._seen: dict[str, Sight] = {}

    def poll(self) -> CertificateAuthority | None:
        """The new authority, if there is one. One that cannot be used is said once, and the old one stays. Never
        raises."""
        directory, now_ns = self.current.directory, self._clock_ns()
        seen = {name: look(directory / name, self._seen.get(name), now_ns) for name in (*OURS, *CERT_MANAGERS)}
        before, self._seen = self._seen, seen
        if {name: sight.digest for name, sight in before.items()} == {name: each.digest for name, each in seen.items()}:
            return None
        try:
            found = load_provided(directory, datetime.fromtimestamp(now_ns / 1e9, UTC))
        except CaError as failure:
            log.error("ca_refused", reason=str(failure), then="the old one stays in force")
            return None
        if (found.root, found.intermediate, found.chain) == (
            self.current.root,
            self.current.intermediate,
            self.current.chain,
        ):
            return None
        self.current = found
        log.info("ca_taken_anew", directory=str(directory), ends=f"{found.intermediate.not_valid_after_utc:%Y-%m-%d}")
        return found


def _check_chain(certificates: Sequence[x509.Certificate], root: x509.Certificate, file: Path) -> None:
    for certificate, issuer in zip(certificates, [*certificates[1:], root], strict=True):
        if certificate == issuer:
            continue
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature) as exc:
            raise _unusable(file, "its certificates do not lead to the root one by one") from exc


def _check_issuer(issuer: x509.Certificate, file: Path, now: datetime) -> None:
    try:
        is_authority = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    if not is_authority:
        raise _unusable(file, "it is no certificate of an authority (isCA)")
    if issuer.not_valid_after_utc <= now:
        raise _unusable(file, f"it ended on {issuer.not_valid_after_utc:%Y-%m-%d %H:%M}")


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError as exc:
        raise _unusable(path, "it is not a certificate in PEM") from exc


def _key(path: Path) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    content = _read(path)
    # The kubelet gives a Secret's files to root and the pod's group: the group's bit is how they are read.
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o037:
        raise CaError(f"{path} can be read by others (mode {mode:04o}); give the Secret's volume defaultMode 0440")
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as exc:
        raise _unusable(path, "it is not a private key in PEM without a password") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise _unusable(path, "it is neither an elliptic curve key nor an RSA key")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise CaError(
            f"{path} is missing; ca_dir needs {', '.join(OURS)} (skinflint ca make), or {', '.join(CERT_MANAGERS)}"
        ) from exc
    except OSError as exc:
        raise CaError(f"{path} cannot be read: {exc.strerror}") from exc


def _unusable(path: Path, why: str) -> CaError:
    return CaError(f"{path}: {why}")
