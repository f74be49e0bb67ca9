"""Whose a client certificate is. That it was signed by an accepted authority, TLS has made sure of. Pure."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from cryptography import x509
from cryptography.x509.oid import NameOID


def names_in(certificate: bytes) -> list[str]:
    """What a certificate (DER) is named by: URIs (SPIFFE's, for one) and DNS names; without any, its common name, as
    RFC 6125 has it."""
    found: list[str] = []
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found += names.get_values_for_type(x509.UniformResourceIdentifier)
        found += names.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        pass
    except ValueError:  # OpenSSL took it, and this reader does not
        return []
    found = found or [str(each.value) for each in parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return [name for name in found if name.isprintable() and 0 < len(name) <= 512]


def tenant_of(names: list[str], tenants: Mapping[str, str]) -> str | None:
    """The tenant of a certificate with these names. Without a table the first name is the tenant itself."""
    if not tenants:
        return names[0] if names else None
    for name in names:
        for pattern, tenant in tenants.items():
            if name == pattern or ("*" in pattern and fnmatchcase(name, pattern)):
                return tenant
    return None
