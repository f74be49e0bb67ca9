"""Which network an address is in, of many: the longest prefix wins. Asked of each connection, so it is looked up by
prefix, of which there are few lengths, and not network by network.
"""

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address, ip_network

_BITS = {4: 32, 6: 128}


class Networks[T]:
    """Values by network."""

    def __init__(self, values: Mapping[str, T]) -> None:
        self._by_prefix: dict[int, list[tuple[int, dict[int, T]]]] = {}
        for text, value in values.items():
            network = ip_network(text)
            shift = _BITS[network.version] - network.prefixlen
            lengths = self._by_prefix.setdefault(network.version, [])
            found = next((each for length, each in lengths if length == shift), None)
            if found is None:
                found = {}
                lengths.append((shift, found))
                lengths.sort(key=lambda pair: pair[0])
            found[int(network.network_address) >> shift] = value

    def __bool__(self) -> bool:
        return bool(self._by_prefix)

    def find(self, address: str) -> T | None:
        """The value of the smallest network that the address is in."""
        try:
            parsed = ip_address(plain(address))
        except ValueError:
            return None
        number = int(parsed)
        for shift, values in self._by_prefix.get(parsed.version, ()):
            if (value := values.get(number >> shift)) is not None:
                return value
        return None


def plain(address: str) -> str:
    """An address as it is written: without a zone, and as IPv4 where that is what it is."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)
