"""A proxy that not only this machine uses, as the doctor sees it: who may, and where it leads. Looks at settings."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from config.gateway import ANY
from config.schema import Settings


@dataclass(frozen=True, slots=True)
class Sharing:
    """What its settings say. `knows`: what clients are known by."""

    knows: tuple[str, ...]
    leads_to: tuple[str, ...]
    is_private_reachable: bool
    is_encrypted: bool  # clients speak TLS to every listener that takes tokens


def sharing_of(settings: Settings) -> Sharing | None:
    """None for a proxy that is for this machine alone."""
    if not (shared := settings.shared_listeners):
        return None
    regular = [each for each in settings.listeners if each.mode == "regular"]
    access = settings.access
    kinds = {
        "certificates": any(each.tls is not None and each.tls.client_ca is not None for each in regular),
        "tokens": access.credentials is not None,
        "addresses": any(ip_network(text).prefixlen for text in access.sources),
        "pods": access.kubernetes.enabled,
    }
    return Sharing(
        knows=tuple(kind for kind, is_used in kinds.items() if is_used),
        leads_to=settings.destinations.allow,
        is_private_reachable=settings.destinations.private,
        is_encrypted=all(each.tls is not None for each in shared),
    )


def advice(sharing: Sharing) -> Iterator[tuple[bool, str, str]]:
    """(is it as it should be, what is so, what to do otherwise)."""
    if sharing.knows:
        yield True, f"clients are known by {' and '.join(sharing.knows)}", ""
    else:
        yield False, "everybody who reaches it may use it, as nobody", "access.credentials, sources or kubernetes"
    if ANY in sharing.leads_to:
        yield False, "it leads anywhere", "destinations.allow: [providers]"
    else:
        yield True, f"it leads to {', '.join(sharing.leads_to) or 'nothing'}", ""
    if sharing.is_private_reachable:
        yield False, "private networks can be reached through it", "destinations.private: false"
    if "tokens" in sharing.knows and not sharing.is_encrypted:
        yield False, "tokens can be read on the way to it", "listeners[].tls, or a network that nobody else is on"
