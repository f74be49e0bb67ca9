"""Which addresses may be dialled, whatever name led to them.

Rules: judged is the address that the connection is made to, after the last look-up, so that a name that changes its
mind gains nothing. What the operator wrote down himself (`upstream.resolve`, a reverse listener's origin, exceptions)
is not judged. Behind a corporate proxy names are its business; here only hosts that are addresses are judged then.
"""

import re
from collections.abc import Callable, Collection
from ipaddress import ip_address, ip_network
from typing import Final

from config.gateway import Destinations, is_network
from config.patterns import HostPattern
from proxy.exchange.errors import UpstreamError
from proxy.upstream.addresses import Address, Kind, forms, kind_of, literal

PROHIBITED: Final = "destination_ip_prohibited"

type OnRefused = Callable[[str, int], None]
"""Told the host and the port."""

# Other spellings (percent signs, for one) are read as another name by the next reader, who would look that one up.
_PLAIN_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


def _unheard(_host: str, _port: int) -> None:
    pass


class Guard:
    """One settings snapshot's. `trusted`: origins that the settings name as such. `is_shared`: other machines' clients
    come here, so this machine's loopback, its link and its metadata are not theirs, whatever `destinations` says."""

    def __init__(
        self,
        settings: Destinations,
        *,
        is_shared: bool = False,
        trusted: Collection[tuple[str, int]] = (),
        on_refused: OnRefused = _unheard,
    ) -> None:
        self._takes_private = settings.private
        self.is_on = is_shared or not settings.private
        self._networks = [ip_network(text) for text in settings.exceptions if is_network(text)]
        self._hosts = [HostPattern.parse(text) for text in settings.exceptions if not is_network(text)]
        self._trusted = frozenset(trusted)
        self._on_refused = on_refused

    def permits(self, host: str, port: int, address: str) -> bool:
        """May `host` be reached at this address?"""
        if not self.is_on or (host, port) in self._trusted:
            return True
        found = ip_address(address.partition("%")[0])
        kind = kind_of(found)
        if kind is Kind.PUBLIC or (kind is Kind.PRIVATE and self._takes_private) or self._is_listed(found):
            return True
        return kind is Kind.PRIVATE and any(pattern.matches(host, port) for pattern in self._hosts)

    def _is_listed(self, address: Address) -> bool:
        return any(form in network for form in forms(address) for network in self._networks)

    def chosen(self, host: str, port: int, addresses: Collection[str]) -> list[str]:
        """Those of a host's addresses that may be dialled. Raises UpstreamError when there are some, but none of
        them may."""
        found = [address for address in addresses if self.permits(host, port, address)]
        if addresses and not found:
            raise self.refusal(host, port)
        return found

    def check_host(self, host: str, port: int) -> None:
        """Before a name is looked up, here or elsewhere. Raises UpstreamError."""
        if not self.is_on or (host, port) in self._trusted:
            return
        address = literal(host)
        if _PLAIN_HOST.fullmatch(host) is None or (address and not self.permits(host, port, str(address))):
            raise self.refusal(host, port)

    def refusal(self, host: str, port: int) -> UpstreamError:
        """That this must not be dialled."""
        self._on_refused(host, port)
        message = "the origin's address must not be reached through this proxy (destinations.exceptions)"
        return UpstreamError(PROHIBITED, message, status=403, sent=False)


UNGUARDED: Final = Guard(Destinations())
