"""What kind of address a connection would lead to, for who must not be led into a private network. Pure.

Rules: an address is public only if it is surely so. One that carries an IPv4 address inside (mapped, NAT64, 6to4, ...)
is what that address is; where it can hide one in more than one place (Teredo, local NAT64, ISATAP) it is special.
"""

from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from socket import inet_aton
from typing import Final

type Address = IPv4Address | IPv6Address


class Kind(Enum):
    """How an address may be reached."""

    PUBLIC = "public"
    PRIVATE = "private"  # somebody's own network: RFC 1918, RFC 4193, and what carriers share (RFC 6598)
    SPECIAL = "special"  # this machine, this link, a cloud's metadata, multicast, and what nobody should call


_PRIVATE4: Final = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
_PRIVATE6: Final = (IPv6Network("fc00::/7"),)
# Metadata and credentials of clouds that lie outside 169.254.0.0/16: Alibaba's, Azure's, Oracle's.
_SPECIAL4: Final = tuple(map(IPv4Address, ("100.100.100.200", "168.63.129.16", "192.0.0.192")))
_SPECIAL6: Final = tuple(
    map(
        IPv6Network,
        (
            "fd00:ec2::/32",  # Amazon's metadata and credentials
            "fd20:ce::/64",  # Google's metadata
            "64:ff9b:1::/48",  # NAT64 of local use, RFC 8215: the IPv4 address may stand anywhere in it
            "2001::/32",  # Teredo
            "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765
            "fec0::/10",  # site-local, long deprecated
        ),
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = IPv6Network("::/96")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)  # RFC 5214: the upper half of the interface's identifier


def literal(host: str) -> Address | None:
    """The address that a host's name is the spelling of, also in the short forms that resolvers take (127.1)."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    if not host[:1].isdigit():
        return None
    try:
        return IPv4Address(inet_aton(host))
    except OSError:
        return None


def kind_of(address: Address) -> Kind:
    """See the module."""
    return _kind4(address) if isinstance(address, IPv4Address) else _kind6(address)


def forms(address: Address) -> tuple[Address, ...]:
    """The address, and the IPv4 address that it stands for: whoever lists one of them means both."""
    inner = _embedded(address) if isinstance(address, IPv6Address) else None
    return (address,) if inner is None else (address, inner)


def _kind4(address: IPv4Address) -> Kind:
    if address in _SPECIAL4:
        return Kind.SPECIAL
    if any(address in network for network in _PRIVATE4):
        return Kind.PRIVATE
    return Kind.PUBLIC if address.is_global and not address.is_multicast else Kind.SPECIAL


def _kind6(address: IPv6Address) -> Kind:
    if any(address in network for network in _SPECIAL6):
        return Kind.SPECIAL
    inner = _embedded(address)
    if inner is not None:
        return _kind4(inner)
    if any(address in network for network in _PRIVATE6):
        return Kind.PRIVATE
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return Kind.SPECIAL
    is_unicast = int(address) >> 125 == 0b001  # 2000::/3, all that was ever given out
    return Kind.PUBLIC if is_unicast and address.is_global and not address.is_multicast else Kind.SPECIAL


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a packet to this one ends up at."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _COMPATIBLE and int(address) > 1:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None
