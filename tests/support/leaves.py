"""Leaves that our own issuer would refuse to make, to see that clients refuse them too."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.edge.ca import CertificateAuthority


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def chain_for(authority: CertificateAuthority, folder: Path, *names: str) -> Path:
    """A key, a leaf for `names` signed by the authority's intermediate, and the intermediate, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.intermediate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(alternatives, critical=True)
        .add_extension(issuer, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    path = folder / f"leaf-{leaf.serial_number:x}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificates = (
        leaf.public_bytes(serialization.Encoding.PEM),
        authority.intermediate.public_bytes(serialization.Encoding.PEM),
    )
    path.write_bytes(private + b"".join(certificates))
    return path


def context_for(authority: CertificateAuthority, folder: Path, *names: str) -> ssl.SSLContext:
    """A server context with such a leaf."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain_for(authority, folder, *names))
    return context
