"""Which names our certificate authority may speak for, as X.509 name constraints (RFC 5280, section 4.2.1.10).

Rules: only what is listed is permitted, so a stolen key is worth no more than the providers' names. DNS patterns are
reduced to the suffix below their last wildcard, because a constraint has no wildcards and covers all its subdomains.
Addresses are excluded altogether unless one is configured. Then exactly that address is permitted, which shuts out
every other of either family, and nothing is excluded: Java takes an exclusion of one family to hold for the other
and would refuse the permitted address. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from cryptography import x509

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

_ALL_IPV4 = IPv4Network("0.0.0.0/0")
_ALL_IPV6 = IPv6Network("::/0")
# With no permitted subtree of a kind every name of that kind would be permitted. RFC 2606 keeps this one unused.
_NO_NAME = "invalid"


def as_address(host: str) -> Address | None:
    """The address that `host` spells, brackets allowed, or None when it is a name."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def ascii_name(host: str) -> str:
    """A DNS name in lower case, without its trailing dot, in the ASCII form that certificates carry.

    Raises ValueError when it cannot be a host name.
    """
    name = host.lower().removesuffix(".")
    if not name.isascii():
        name = name.encode("idna").decode("ascii")
    if not name or len(name) > 253 or any(not 0 < len(label) < 64 for label in name.split(".")):
        raise ValueError(f"not a host name: {host!r}")
    return name


def _without_port(host: str) -> str:
    """`host:port` or `[v6]:port` without the port; a bare IPv6 address stays whole."""
    if as_address(host) is not None:
        return host
    name, separator, port = host.rpartition(":")
    return name if separator and port.isdigit() else host


def _suffix(pattern: str) -> str:
    """What a pattern's names have in common at their end. Raises ValueError when that is nothing."""
    labels = pattern.split(".")
    while any("*" in label for label in labels):
        labels.pop(0)
    if not labels:
        raise ValueError(f"the pattern {pattern!r} covers every name; a provider's hosts need a common ending")
    return ascii_name(".".join(labels))


def _is_within(name: str, suffixes: Iterable[str]) -> bool:
    return any(name == suffix or name.endswith("." + suffix) for suffix in suffixes)


@dataclass(frozen=True, slots=True)
class Permitted:
    """The names and addresses that leaves may be issued for. `names` holds no name that another one covers.
    `is_everything`: there are no constraints."""

    names: frozenset[str]
    networks: frozenset[Network]
    is_everything: bool = False

    @classmethod
    def of_hosts(cls, hosts: Iterable[str]) -> "Permitted":
        """From provider hosts: names, wildcard patterns or addresses, each with or without a port.

        Raises ValueError for what is none of these, and for a pattern that would permit every name.
        """
        names: set[str] = set()
        networks: set[Network] = set()
        for host in map(_without_port, hosts):
            address = as_address(host)
            if address is None:
                names.add(_suffix(host))
            else:
                networks.add(ip_network(address))
        needed = (name for name in names if not _is_within(name.partition(".")[2], names))
        return cls(frozenset(needed), frozenset(networks))

    @classmethod
    def of_certificate(cls, certificate: x509.Certificate) -> "Permitted":
        """From a certificate's constraints. Raises ValueError when it has none, or they are not critical."""
        try:
            extension = certificate.extensions.get_extension_for_class(x509.NameConstraints)
        except x509.ExtensionNotFound as exc:
            raise ValueError("the certificate has no name constraints") from exc
        if not extension.critical:
            raise ValueError("the certificate's name constraints are not critical")
        names: set[str] = set()
        networks: set[Network] = set()
        for subtree in extension.value.permitted_subtrees or ():
            if isinstance(subtree, x509.DNSName):
                names.add(subtree.value)
            elif isinstance(subtree, x509.IPAddress) and isinstance(subtree.value, IPv4Network | IPv6Network):
                networks.add(subtree.value)
        return cls(frozenset(names - {_NO_NAME}), frozenset(networks))

    @classmethod
    def of_any_certificate(cls, certificate: x509.Certificate) -> "Permitted":
        """From the constraints of a certificate that is not ours. What permits no name in particular permits all."""
        try:
            found = cls.of_certificate(certificate)
        except ValueError:
            return cls(frozenset(), frozenset(), is_everything=True)
        permitted = certificate.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or ()
        has_names = any(isinstance(subtree, x509.DNSName) for subtree in permitted)
        return found if has_names else cls(frozenset(), frozenset(), is_everything=True)

    def allows(self, host: str) -> bool:
        """Whether clients will accept a leaf for this name or address."""
        if self.is_everything:
            return True
        address = as_address(host)
        if address is not None:
            return any(address in network for network in self.networks)
        try:
            return _is_within(ascii_name(host), self.names)
        except ValueError:
            return False

    def lacking(self, wanted: "Permitted") -> list[str]:
        """What `wanted` permits and this does not, in order."""
        if self.is_everything:
            return []
        names = [name for name in wanted.names if not _is_within(name, self.names)]
        return sorted(names + [str(network) for network in wanted.networks - self.networks])

    def extension(self) -> x509.NameConstraints:
        """The constraints as a certificate carries them; mark them critical."""
        permitted: list[x509.GeneralName] = [x509.DNSName(name) for name in sorted(self.names) or [_NO_NAME]]
        permitted += [x509.IPAddress(network) for network in sorted(self.networks, key=str)]
        excluded = None if self.networks else [x509.IPAddress(_ALL_IPV4), x509.IPAddress(_ALL_IPV6)]
        return x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=excluded)
