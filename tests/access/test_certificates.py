"""Whose a client certificate is: by its URIs and DNS names, or else by its common name."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proxy.access.certificates import names_in, tenant_of


def certificate(common_name: str, *names: x509.GeneralName) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_uris_come_before_dns_names() -> None:
    made = certificate("x", x509.DNSName("web.example"), x509.UniformResourceIdentifier("spiffe://a/web"))
    assert names_in(made) == ["spiffe://a/web", "web.example"]


def test_a_common_name_counts_where_there_is_nothing_else_alone() -> None:
    assert names_in(certificate("web")) == ["web"]
    assert names_in(certificate("web", x509.DNSName("other.example"))) == ["other.example"]


def test_what_is_no_certificate_has_no_names() -> None:
    assert names_in(b"no certificate") == []


def test_a_table_says_whose_a_name_is() -> None:
    table = {"spiffe://a/*": "team-a", "web.example": "team-b"}
    found = [tenant_of([name], table) for name in ("spiffe://a/web", "web.example", "else")]
    assert found == ["team-a", "team-b", None]
    assert [tenant_of(names, {}) for names in (["first", "second"], [])] == ["first", None]
