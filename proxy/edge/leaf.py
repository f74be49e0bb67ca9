"""TLS contexts for the hosts we stand for: one leaf certificate a host, minted when first asked for.

Rules: a leaf names the one host it is for and nothing that upstream's certificate says, since a constrained authority
must not sign foreign names. One key serves all leaves of a process and is never written to a disk. A context is shared
by all connections to its host, so that sessions resume; it is replaced before its leaf ends. The number of contexts is
bounded; the longest unused goes first.
"""

import contextlib
import os
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proxy.edge.ca import BACKDATED, CertificateAuthority
from proxy.edge.constraints import as_address, ascii_name

LEAF_LIFETIME = timedelta(days=30)
REMINT_BEFORE_S = 86_400.0

# The leaf's key is an ECDSA key, so RSA suites could never be chosen. The standard library cannot order TLS 1.3's.
_TLS12_CIPHERS = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"
# Server preference: a client that speaks both gets HTTP/1.1, which costs us less per call.
_ALPN = ["http/1.1", "h2"]


class HostNotPermittedError(ValueError):
    """Our constraints do not permit this host: clients would refuse a leaf for it, so none is made."""


@dataclass(slots=True)
class _Entry:
    context: ssl.SSLContext
    stale_at: float


class LeafIssuer:
    """Makes and keeps server contexts. `clock` gives seconds since the epoch."""

    def __init__(self, authority: CertificateAuthority, *, clock: Callable[[], float], max_hosts: int = 512) -> None:
        self._clock = clock
        self._max_hosts = max_hosts
        self._entries: OrderedDict[tuple[str, bool], _Entry] = OrderedDict()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._key_pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._subject_key = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self.take(authority)

    def take(self, authority: CertificateAuthority) -> None:
        """From now on this one signs."""
        self._authority = authority
        chain = (authority.intermediate, *authority.chain)
        self._issuer_pem = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain)
        self._authority_key = _key_identifier(authority.intermediate)
        self._entries.clear()

    def may_sign(self, host: str) -> bool:
        """False for hosts whose leaves clients would refuse. What is ours is made for all hosts that are configured."""
        return self._authority.is_ours or self._authority.permitted.allows(host)

    def context(self, host: str, *, h2_only: bool = False) -> ssl.SSLContext:
        """The server context for `host`, a name or an address.

        It offers http/1.1 and h2, the first preferred; with `h2_only`, h2 alone. Raises HostNotPermittedError.
        """
        key = (host, h2_only)
        now = self._clock()
        entry = self._entries.get(key)
        if entry is not None and now < entry.stale_at:
            self._entries.move_to_end(key)
            return entry.context
        entry = self._make(host, h2_only, now)
        self._entries[key] = entry
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_hosts:
            self._entries.popitem(last=False)
        return entry.context

    def mint(self, host: str, now: datetime) -> x509.Certificate:
        """A leaf for `host` alone, valid for thirty days from `now` on. Raises HostNotPermittedError."""
        authority = self._authority
        if not authority.permitted.allows(host):
            raise HostNotPermittedError(f"the certificate authority in {authority.directory} does not permit {host!r}")
        address = as_address(host)
        end = min(now + LEAF_LIFETIME, authority.intermediate.not_valid_after_utc)
        name = x509.DNSName(ascii_name(host)) if address is None else x509.IPAddress(address)
        return (
            x509.CertificateBuilder()
            .subject_name(_subject(name))
            .issuer_name(authority.intermediate.subject)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_signs_handshakes(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(self._subject_key, critical=False)
            .add_extension(self._authority_key, critical=False)
            .sign(authority.key, hashes.SHA256())
        )

    def _make(self, host: str, h2_only: bool, now: float) -> _Entry:
        leaf = self.mint(host, datetime.fromtimestamp(now, UTC))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION
        context.set_ciphers(_TLS12_CIPHERS)
        context.set_alpn_protocols(["h2"] if h2_only else _ALPN)
        # OpenSSL's default is two tickets of 255 bytes a full handshake; clients keep the last one.
        context.num_tickets = 1
        with self._readable(leaf.public_bytes(serialization.Encoding.PEM)) as path:
            context.load_cert_chain(path)
        left_s = leaf.not_valid_after_utc.timestamp() - now
        return _Entry(context, now + left_s - min(REMINT_BEFORE_S, left_s / 10))

    def _scratch(self) -> Path | None:
        return self._authority.directory if self._authority.is_ours else None

    @contextlib.contextmanager
    def _readable(self, leaf_pem: bytes) -> Iterator[str]:
        """A path that OpenSSL can read key and chain from, for as long as the block lasts."""
        content = self._key_pem + leaf_pem + self._issuer_pem
        try:
            descriptor = os.memfd_create("skinflint-leaf", os.MFD_CLOEXEC)
        except (AttributeError, OSError):  # not Linux, or forbidden by a seccomp profile
            with tempfile.NamedTemporaryFile(dir=self._scratch()) as file:  # mode 0600, unlinked at the end
                file.write(content)
                file.flush()
                yield file.name
            return
        with os.fdopen(descriptor, "wb") as memory:
            memory.write(content)
            memory.flush()
            yield f"/proc/self/fd/{descriptor}"


def _key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """What the issuer calls its key, which others do not make of it as we do."""
    try:
        named = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        key = issuer.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(named)


def _subject(name: x509.DNSName | x509.IPAddress) -> x509.Name:
    """For people who read certificates; clients look at the alternative name only. A common name has 64 characters."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Skinflint")]
    if isinstance(name, x509.DNSName) and len(name.value) <= 64:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, name.value))
    return x509.Name(attributes)


def _signs_handshakes() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
