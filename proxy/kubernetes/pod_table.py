"""Which pod has which address, from the API's objects. Pure.

Rules: pods on their node's own network have no address of their own, and finished ones none any more. An address goes
from pod to pod: the younger one has it, whatever order the news come in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from config.gateway import KubernetesSources
from proxy.exchange.tenant import Tenant
from proxy.injector.attribution import workload
from proxy.injector.document import MalformedError, Object, section, sections, text
from proxy.injector.pod import labels

_LABEL_CHARACTERS: Final = 128
_OVER: Final = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class KnownPod:
    """One pod with addresses."""

    uid: str
    created: str  # RFC 3339 in UTC: text sorts as time does
    addresses: tuple[str, ...]
    tenant: Tenant | None  # None: of a namespace that nobody may come from


def known_pod(pod: Object, settings: KubernetesSources) -> KnownPod | None:
    """What there is to know of it; None when nobody can come from it. Raises MalformedError."""
    metadata, status = section(pod, "metadata"), section(pod, "status")
    namespace, name = text(metadata, "namespace"), text(metadata, "name")
    if section(pod, "spec").get("hostNetwork") is True or text(status, "phase") in _OVER:
        return None
    found = [text(entry, "ip") for entry in sections(status, "podIPs")] or [text(status, "podIP")]
    addresses = tuple(address for address in found if address)
    if not addresses:
        return None
    is_meant = not settings.namespaces or any(fnmatchcase(namespace, pattern) for pattern in settings.namespaces)
    tenant = _tenant(pod, name, settings) if is_meant else None
    return KnownPod(text(metadata, "uid"), text(metadata, "creationTimestamp"), addresses, tenant)


def _tenant(pod: Object, name: str, settings: KubernetesSources) -> Tenant:
    namespace = text(section(pod, "metadata"), "namespace")
    told: Mapping[str, str] = labels(pod)
    said = {label: told.get(key, "") for label, key in settings.labels.items()}
    said |= {"namespace": namespace, "pod": name, "workload": workload(pod)}
    kept = {label: value[:_LABEL_CHARACTERS] for label, value in said.items() if value}
    return Tenant.named(settings.tenants.get(namespace, namespace), kept)


class PodTable:
    """The pods that are known now, a bounded number of them."""

    def __init__(self, settings: KubernetesSources) -> None:
        self._settings = settings
        self._pods: dict[str, KnownPod] = {}
        self._by_address: dict[str, KnownPod] = {}
        self.left_out = 0

    def __len__(self) -> int:
        return len(self._pods)

    def tenant(self, address: str) -> Tenant | None:
        """Whose pod has it."""
        found = self._by_address.get(address)
        return found.tenant if found is not None else None

    def put(self, pod: Object) -> tuple[str, ...]:
        """What the API says of a pod now; returns the addresses that are known by it. One that is not what it should be
        is left out."""
        try:
            uid = text(section(pod, "metadata"), "uid")
            found = known_pod(pod, self._settings)
        except MalformedError:
            self.left_out += 1
            return ()
        self._forget(uid)
        if found is None:
            return ()
        if found.tenant is None:
            self._displace(found)
            return ()
        if len(self._pods) >= self._settings.max_pods:
            self.left_out += 1
            return ()
        self._pods[uid] = found
        for address in found.addresses:
            holder = self._by_address.get(address)
            if holder is None or holder.created <= found.created:
                self._by_address[address] = found
        return found.addresses

    def _displace(self, stranger: KnownPod) -> None:
        """What it has is no other's any more, though the API may not have said so yet."""
        for address in stranger.addresses:
            holder = self._by_address.get(address)
            if holder is not None and holder.created <= stranger.created:
                del self._by_address[address]

    def remove(self, pod: Object) -> None:
        """It is gone."""
        try:
            self._forget(text(section(pod, "metadata"), "uid"))
        except MalformedError:
            self.left_out += 1

    def _forget(self, uid: str) -> None:
        known = self._pods.pop(uid, None)
        if known is None:
            return
        for address in known.addresses:
            if self._by_address.get(address) is known:
                del self._by_address[address]
