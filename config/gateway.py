"""The settings of a proxy that many share: what may be connected to, who may use it, and TLS on its own listeners.

Beside one application none of it is needed: whoever reaches the listener could reach the origin by itself as well. A
gateway has a network position and an address of its own, and lends them to nobody it was not told of.
"""

from fnmatch import translate
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from config.patterns import HostPattern
from config.section import Section

ANY: Final = "any"
PROVIDERS: Final = "providers"

_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TENANT_CHARACTERS: Final = 128


def network(text: str) -> str:
    """A network in its usual form. Raises ValueError."""
    mistake = "must be an address or a network, such as 10.0.0.0/8 or fd00::/8"
    # A zone may be any text, which would stand in the kernel's rules; and addresses are compared without one.
    if "%" in text:
        raise ValueError(mistake)
    try:
        return str(ip_network(text.strip(), strict=False))
    except ValueError:
        raise ValueError(mistake) from None


def is_network(text: str) -> bool:
    """An address or a network, no name."""
    try:
        ip_network(text.strip(), strict=False)
    except ValueError:
        return False
    return True


def tenant_name(text: str) -> str:
    """A tenant's name. It stands in front of the colon of `user:password`, and in labels. Raises ValueError."""
    name = text.strip()
    if not name or len(name) > _TENANT_CHARACTERS or ":" in name or not name.isprintable() or not name.isascii():
        raise ValueError(f"must be 1 to {_TENANT_CHARACTERS} printable ASCII characters without a colon")
    if any(character.isspace() for character in name):
        raise ValueError("must not have blanks in it")
    return name


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _destination(text: str) -> str:
    word = text.strip().lower()
    if word not in (ANY, PROVIDERS):
        HostPattern.parse(word)
    return word


def _exception(text: str) -> str:
    if is_network(text):
        return network(text)
    HostPattern.parse(text)
    return text.strip().lower()


def _name_pattern(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    translate(text)
    return text.strip()


type Network = Annotated[str, AfterValidator(network)]
type TenantName = Annotated[str, AfterValidator(tenant_name)]
type Group = Annotated[str, AfterValidator(_name_pattern)]
type NamePattern = Annotated[str, AfterValidator(_name_pattern)]
type AllowedHost = Annotated[str, AfterValidator(_destination)]
type ExceptedHost = Annotated[str, AfterValidator(_exception)]


class ListenerTls(Section):
    """TLS of a listener itself: clients speak to the proxy over it, whatever they say inside."""

    certificate: Path  # PEM, with its chain
    key: Path  # PEM
    client_ca: Path | None = None  # PEM; client certificates of these authorities are demanded


class Destinations(Section):
    """What may be connected to. Judged by the address that is really dialled, too."""

    allow: Annotated[tuple[AllowedHost, ...], BeforeValidator(_one_or_many)] = (ANY,)
    private: bool = True  # may addresses be reached that are not on the public Internet?
    exceptions: Annotated[tuple[ExceptedHost, ...], BeforeValidator(_one_or_many)] = ()


class KubernetesSources(Section):
    """Clients known by the pod that their address belongs to."""

    enabled: bool = False
    namespaces: tuple[NamePattern, ...] = ()  # wildcards; empty: all
    tenants: dict[str, TenantName] = {}  # namespace -> tenant; otherwise it bears the namespace's name
    labels: dict[str, str] = {}  # label of a call -> label of the pod
    node: str | None = None  # only the pods of this node
    api: str | None = None  # URL; None: as the cluster tells every pod
    token_file: Path = _SERVICE_ACCOUNT / "token"
    ca_file: Path = _SERVICE_ACCOUNT / "ca.crt"
    max_pods: Annotated[int, Field(ge=1)] = 50_000  # about 50 MB
    wait_s: Annotated[float, Field(ge=0, le=30)] = 2.0  # a pod may call before the API has told its address
    stale_s: Annotated[float, Field(gt=0)] = 600.0  # addresses go to other pods meanwhile


class Access(Section):
    """Who may use the listeners. Without any rule everybody may, and has no tenant."""

    credentials: Path | None = None
    sources: dict[Network, TenantName] = {}
    certificates: dict[NamePattern, TenantName] = {}  # a client certificate's name -> tenant
    default_tenant: TenantName | None = None  # of clients that no rule knows; None: they are refused
    share: dict[Group, tuple[str, ...]] = {}  # group -> tenants that share answers
    kubernetes: KubernetesSources = KubernetesSources()

    @property
    def has_rules(self) -> bool:
        """Clients have to be known, as far as these settings say."""
        return self.credentials is not None or bool(self.sources) or self.kubernetes.enabled
