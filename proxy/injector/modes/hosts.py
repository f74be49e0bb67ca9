"""Mode `hosts`: the pod's hosts file says that the providers are on loopback, where the sidecar listens on port 443.

The sidecar takes the destination from the TLS server name and resolves it by DNS, without the hosts file. A hosts file
has no wildcards, so resources of Azure or regions of Bedrock are named one by one (annotation or setting `hosts`). A
name that the pod aliases itself stays where it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from proxy.injector.document import Draft, Object, section, sections, text, texts
from proxy.injector.pod import tcp_ports

PORT: Final = 443
_SYSCTL: Final = "net.ipv4.ip_unprivileged_port_start"  # of the pod's own network; the restricted standard allows it
_ANY_PORT: Final = "0"  # as container runtimes set it anyway; 443 would take ports below it from the application


@dataclass(frozen=True, slots=True)
class HostsMode:
    """See the module."""

    hosts: tuple[str, ...]
    ipv6: bool

    @property
    def listen(self) -> list[str]:
        """Both loopbacks, where there are two."""
        found = [("127.0.0.1", f"127.0.0.1:{PORT}"), ("::1", f"[::1]:{PORT}")]
        addresses = [place for address, place in found if address in self._addresses]
        return [*(part for each in addresses for part in ("--listen", each)), "--mode", "hosts"]

    @property
    def proxy_url(self) -> None:
        """Clients need not know."""
        return

    def refusals(self, pod: Object) -> Iterator[str]:
        """The port may be taken, or forbidden."""
        if PORT in tcp_ports(pod):
            yield f"a container listens on port {PORT}, where this mode's listener stands; use the mode env or redirect"
        first = self._first_port(pod)
        if first and not (first.isdigit() and int(first) <= PORT):
            yield f"sysctl {_SYSCTL} is {first}, which forbids the proxy port {PORT}; use the mode env or redirect"

    def before(self) -> list[Object]:
        """Nothing."""
        return []

    def change(self, draft: Draft) -> list[str]:
        """Aliases and the sysctl. Names that the pod aliases to other addresses are left to it."""
        spec = section(draft.document, "spec")
        elsewhere = self._aliased_elsewhere(spec)
        hosts = [host for host in self.hosts if host not in elsewhere]
        for address in self._addresses:
            self._alias(draft, address, hosts)
        if not self._first_port(draft.document):
            draft.extend(("spec", "securityContext", "sysctls"), [{"name": _SYSCTL, "value": _ANY_PORT}])
        kept = [host for host in self.hosts if host in elsewhere]
        return [f"hostAliases of the pod itself win for {', '.join(kept)}: not through Skinflint"] if kept else []

    @property
    def _addresses(self) -> tuple[str, ...]:
        return ("127.0.0.1", "::1") if self.ipv6 else ("127.0.0.1",)

    def _alias(self, draft: Draft, address: str, hosts: list[str]) -> None:
        """One entry an address, as the API wants it: names go to the end of the one that is there."""
        aliases = sections(section(draft.document, "spec"), "hostAliases")
        for index, entry in enumerate(aliases):
            if text(entry, "ip") == address:
                there = texts(entry, "hostnames")
                missing = [host for host in hosts if host not in there]
                draft.extend(("spec", "hostAliases", index, "hostnames"), missing)
                return
        if hosts:
            draft.extend(("spec", "hostAliases"), [{"ip": address, "hostnames": list(hosts)}])

    def _aliased_elsewhere(self, spec: Object) -> set[str]:
        return {
            name.lower()
            for entry in sections(spec, "hostAliases")
            if text(entry, "ip") not in self._addresses
            for name in texts(entry, "hostnames")
        }

    def _first_port(self, pod: Object) -> str:
        """What the pod says of the sysctl; empty for nothing."""
        context = section(section(pod, "spec"), "securityContext")
        return next((text(each, "value") for each in sections(context, "sysctls") if text(each, "name") == _SYSCTL), "")
