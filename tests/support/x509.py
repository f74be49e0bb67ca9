"""A certificate authority for tests, and servers' certificates from it, as PEM files in a folder of the test's own."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext, create_default_context

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LIFETIME = timedelta(days=2)


def _alternative(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def trusting(root: Path, *alpn: str) -> SSLContext:
    """A client's context that trusts this authority alone."""
    context = create_default_context(cafile=str(root))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


class TestCa:
    """A root made for one test. `root` is the path of its certificate."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("test root")
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        certificate = self._draft(self._name, self._key.public_key()).add_extension(constraints, critical=True)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        signed = certificate.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self.root = folder / "test-root.pem"
        self.root.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def server(self, *names: str) -> Path:
        """A PEM file with a key and a certificate for these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        draft = self._draft(_named("test server"), key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        draft = draft.add_extension(alternatives, critical=False).add_extension(issuer, critical=False)
        certificate = draft.sign(self._key, hashes.SHA256())
        path = self._folder / f"server-{certificate.serial_number:x}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def context(self, *names: str, alpn: tuple[str, ...] = ()) -> SSLContext:
        """A server context with a certificate for these names."""
        context = SSLContext(PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server(*names))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def _draft(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + _LIFETIME)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
