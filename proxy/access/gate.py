"""Who is it? Asked of each connection once, or of each request where requests bring their own tokens.

In order: the client's certificate, its Proxy-Authorization, its address, the pod that has this address. A token that is
wrong is refused whatever else is known: whoever sends one wants to be that tenant, and no other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from config.gateway import Access
from proxy.access.certificates import names_in, tenant_of
from proxy.access.credentials import Credentials
from proxy.access.networks import Networks, plain
from proxy.exchange.tenant import NOBODY, Tenant


class Why(Enum):
    """Why a client is refused; the words of the metric."""

    CREDENTIALS = "credentials"
    SOURCE = "source"
    CERTIFICATE = "certificate"


class Pods(Protocol):
    """Who has which address in a cluster."""

    def tenant(self, address: str) -> Tenant | None:
        """Whose pod has it."""
        ...

    async def wait_for(self, address: str) -> None:
        """Until it is known, or long enough."""
        ...


@dataclass(frozen=True, slots=True)
class Client:
    """What a connection tells of its client by itself."""

    address: str
    certificate: bytes | None = None  # DER; None: its listener asks for none


class Gate:
    """One settings snapshot's rules. `credentials` gives the tokens in force, if the settings know any."""

    def __init__(
        self, settings: Access, credentials: Callable[[], Credentials] | None = None, pods: Pods | None = None
    ) -> None:
        self._credentials = credentials
        self._pods = pods
        self._certificates = settings.certificates
        self._default = Tenant.named(settings.default_tenant) if settings.default_tenant else None
        self._networks = Networks({text: Tenant.named(name) for text, name in settings.sources.items()})
        self.is_open = not settings.has_rules and self._default is None

    @property
    def tokens(self) -> Credentials | None:
        """Those in force; None: Proxy-Authorization is not looked at."""
        return self._credentials() if self._credentials is not None else None

    def admit(self, client: Client, field: bytes | None = None) -> Tenant | Why:
        """Whose client it is, or why it is refused. `field`: what it says in Proxy-Authorization."""
        bearer: tuple[str, str] | None = None
        if field is not None and self._credentials is not None:
            bearer = self._credentials().tenant(field)
            if bearer is None:
                return Why.CREDENTIALS
        if client.certificate is not None:
            name = tenant_of(names_in(client.certificate), self._certificates)
            return Why.CERTIFICATE if name is None else Tenant.named(name)
        if bearer is not None:
            return Tenant.named(bearer[0], self._labels(client.address), bearer[1])
        if self.is_open:
            return NOBODY
        known = self._by_address(client.address) or self._default
        if known is not None:
            return known
        return Why.SOURCE if self._credentials is None else Why.CREDENTIALS

    async def wait_for(self, client: Client) -> None:
        """Before a client is refused that may be known in a moment."""
        if self._pods is None or self._credentials is not None or client.certificate is not None:
            return
        if self._networks.find(client.address) is None:
            await self._pods.wait_for(plain(client.address))

    def _by_address(self, address: str) -> Tenant | None:
        found = self._networks.find(address)
        return found if found is not None or self._pods is None else self._pods.tenant(plain(address))

    def _labels(self, address: str) -> dict[str, str]:
        """What the pod of a client is labelled with, who is known by other means."""
        pod = self._pods.tenant(plain(address)) if self._pods is not None else None
        return dict(pod.labels) if pod is not None else {}


OPEN: Final = Gate(Access())
